/** Every kernel compiles in both compilers that browsers have: Tint (Chrome, Edge) and Naga (Firefox). */
import { beforeAll, describe, expect, test } from "vitest";
import { kernelNames, loadKernel } from "../../kernels/plugin.ts";
import { findChrome, findLlvmpipe, findVulkan } from "../../scripts/chrome.ts";
import { getGpu } from "../support/device.ts";
import { type CompileJob, type CompileResult, compileAll } from "./compile.ts";
import { denoRun } from "./deno.ts";

const NAMES = kernelNames();

const WRONG = "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }";

/** Some invocations wait at a barrier that the others pass by; Naga lets it through. */
const DIVERGENT: CompileJob = {
  name: "divergent",
  source: `@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane < 32u) { workgroupBarrier(); }
}`,
  features: [],
  entries: ["main"],
};

/** The file as it lies with all entry points, its text as a production build strips it, and a kernel that must fail. */
function jobsOf(names: readonly string[]): CompileJob[] {
  const jobs = names.flatMap((name) =>
    [false, true].map((minify) => {
      const { source, features, entries } = loadKernel({}, name, minify);
      if (minify) return { name: `${name} stripped`, source, features, entries: [] };
      return { name, source, features, entries: Object.keys(entries) };
    }),
  );
  return [...jobs, { name: "control", source: WRONG, features: [], entries: ["main"] }, DIVERGENT];
}

async function compileInDeno(jobs: readonly CompileJob[], env: Record<string, string>): Promise<CompileResult[]> {
  return JSON.parse(await denoRun("test/kernels/naga.ts", env, JSON.stringify(jobs)));
}

const vulkan = findVulkan(await findChrome());
const llvmpipe = findLlvmpipe();
/** llvmpipe compiles pipelines faster, and offers f16. */
const NAGA_ENV = llvmpipe ? { VK_ICD_FILENAMES: llvmpipe } : "env" in vulkan ? vulkan.env : {};
const compilers: Record<string, (jobs: CompileJob[]) => Promise<CompileResult[]>> = {
  Tint: async (jobs) => compileAll(await getGpu(), jobs),
  Naga: (jobs) => compileInDeno(jobs, NAGA_ENV),
};

/** Every kernel twice, on a machine that may be busy. */
const ALL_KERNELS_MS = 600_000;

describe.skipIf("missing" in vulkan).each(Object.keys(compilers))("%s", (compiler) => {
  const results = new Map<string, CompileResult>();
  beforeAll(async () => {
    for (const result of await compilers[compiler]!(jobsOf(NAMES))) results.set(result.name, result);
  }, ALL_KERNELS_MS);

  test.for(NAMES)("compiles %s", (name, context) => {
    const result = results.get(name)!;
    context.skip(result.skipped !== undefined, `this device lacks ${result.skipped}`);
    expect(result.errors.map((error) => `kernels/${name}.wgsl:${error}`)).toEqual([]);
    expect(results.get(`${name} stripped`)!.errors).toEqual([]);
  });

  test("refuses a wrong kernel", () => {
    expect(results.get("control")!.errors).toHaveLength(1);
  });

  test.runIf(compiler === "Tint")("refuses a barrier under non-uniform control flow", () => {
    expect(results.get("divergent")!.errors.join()).toMatch(/workgroupBarrier.*uniform control flow/);
  });
});
