/** Every kernel, forward and backward, is right beside float64 on wgpu and Naga too (Firefox, Deno). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { expect, test } from "vitest";
import { kernels } from "../../kernels/plugin.ts";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { type CheckResult, checks } from "../../src/check/selfCheck.ts";
import { denoRun } from "./deno.ts";

const vulkan = findVulkan(await findChrome());

/** All kernels compile and run, on a machine that may be busy. */
const SELF_CHECK_MS = 600_000;

test.skipIf("missing" in vulkan)(
  "every family of kernels is right on Naga",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostinato-naga-"));
    try {
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
      const results: CheckResult[] = JSON.parse(denoRun(join(folder, "check.js"), "env" in vulkan ? vulkan.env : {}));
      expect(results.map(({ name }) => name)).toEqual(checks.map(({ name }) => name));
      expect(results.filter(({ passed }) => !passed)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  SELF_CHECK_MS,
);
