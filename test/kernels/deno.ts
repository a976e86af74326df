import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

const FLAGS = ["run", "-A", "--quiet", "--unstable-webgpu", "--no-config", "--no-lock", "--no-npm", "--no-remote"];

/** Runs a script in Deno, whose WebGPU is wgpu with Naga as in Firefox; gives what it prints. */
export async function denoRun(script: string, env: Readonly<Record<string, string>>, input = ""): Promise<string> {
  const deno = spawn("node_modules/.bin/deno", [...FLAGS, script], {
    env: { ...process.env, ...env },
    shell: process.platform === "win32",
  });
  const status = new Promise<number | null>((settle, fail) => deno.on("close", settle).on("error", fail));
  deno.stdin.end(input);
  const [said, complained, code] = await Promise.all([text(deno.stdout), text(deno.stderr), status]);
  if (code !== 0) throw new Error(`deno failed: ${complained}`);
  return said;
}
