/** Every kernel, forward and backward, is right beside float64 on wgpu and Naga too (Firefox, Deno). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { kernels } from "../../kernels/plugin.ts";
import { findChrome, findLlvmpipe, findVulkan } from "../../scripts/chrome.ts";
import { type CheckResult, checks } from "../../src/check/selfCheck.ts";
import { denoRun } from "./deno.ts";

const vulkan = findVulkan(await findChrome());
const llvmpipe = findLlvmpipe();

/** All kernels compile and run, on a machine that may be busy. */
const SELF_CHECK_MS = 600_000;

const folder = mkdtempSync(join(tmpdir(), "ostinato-naga-"));
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  await build({
    configFile: false,
    logLevel: "error",
    plugins: [kernels()],
    build: {
      ssr: join(import.meta.dirname, "nagaSelfCheck.ts"),
      outDir: folder,
      target: "esnext",
      rolldownOptions: { output: { entryFileNames: "check.js" } },
    },
  });
});

/** The adapter's name, after a look at every result. */
async function check(env: Readonly<Record<string, string>>): Promise<string> {
  const said = await denoRun(join(folder, "check.js"), env);
  const { adapter, results } = JSON.parse(said) as { adapter: string; results: CheckResult[] };
  expect(results.map(({ name }) => name)).toEqual(checks.map(({ name }) => name));
  expect(results.filter(({ passed }) => !passed)).toEqual([]);
  return adapter;
}

test.skipIf("missing" in vulkan)(
  "every family of kernels is right on Naga, in the forms of an emulation",
  () => check("env" in vulkan ? vulkan.env : {}),
  SELF_CHECK_MS,
);

// SwiftShader would compile these for minutes, for their workgroup memory.
test.skipIf(!llvmpipe)(
  "every family of kernels is right on Naga and llvmpipe, in the forms of a GPU",
  async () => {
    const adapter = await check({ VK_ICD_FILENAMES: llvmpipe ?? "", FORMS: "hardware" });
    expect(adapter).toContain("llvmpipe");
  },
  SELF_CHECK_MS,
);
