import { spawnSync } from "node:child_process";

const FLAGS = ["run", "-A", "--quiet", "--unstable-webgpu", "--no-config", "--no-lock", "--no-npm", "--no-remote"];

/** Runs a script in Deno, whose WebGPU is wgpu with Naga as in Firefox; returns what it prints. */
export function denoRun(script: string, env: Readonly<Record<string, string>>, input = ""): string {
  const deno = spawnSync("node_modules/.bin/deno", [...FLAGS, script], {
    input,
    encoding: "utf8",
    env: { ...process.env, ...env },
    shell: process.platform === "win32",
    maxBuffer: 64 * 2 ** 20,
  });
  if (deno.status !== 0) throw new Error(`deno failed: ${deno.stderr}`);
  return deno.stdout;
}
