/**
 * Writes the package's declaration files to dist/types: those of tsc, made to stand in any project. Kernels become
 * plain declarations, which need no compiler option; `Symbol.dispose` brings its library along.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

const root = join(import.meta.dirname, "..");
const types = join(root, "dist/types");
const DISPOSABLE = '/// <reference lib="esnext.disposable" />\n';

rmSync(types, { recursive: true, force: true });
const tsc = join(root, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.lib.json"], { cwd: root, stdio: "inherit" });

for (const path of readdirSync(types, { recursive: true, encoding: "utf8" })) {
  if (!path.endsWith(".d.ts")) continue;
  const file = join(types, path);
  const text = readFileSync(file, "utf8");
  const plain = text.replace(/^(import .* from) "(\..+)\.wgsl"/gm, (_, names: string, kernel: string) => {
    const target = normalize(join(dirname(file), kernel));
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(root, "node_modules/.kernels", `${relative(types, target)}.d.wgsl.ts`), `${target}.d.ts`);
    return `${names} "${kernel}.ts"`;
  });
  const whole = /Symbol\.(asyncD|d)ispose/.test(plain) ? DISPOSABLE + plain : plain;
  if (whole !== text) writeFileSync(file, whole);
}
