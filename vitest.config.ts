import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { kernels } from "./kernels/plugin.ts";
import { findChrome, findVulkan } from "./scripts/chrome.ts";
import { chrome } from "./test/support/provider.ts";

/** Emulated GPUs are slow, and the first use of a kernel compiles it. */
const GPU_TIMEOUT = 60_000;

const vulkan = findVulkan(await findChrome());

/** Files run one after the other in one process or page, and share its device and compiled pipelines. */
const oneByOne = { fileParallelism: false, maxWorkers: 1, isolate: false, testTimeout: GPU_TIMEOUT, hookTimeout: GPU_TIMEOUT };

const projects: TestProjectConfiguration[] = [
  {
    plugins: [kernels()],
    test: { name: "unit", include: ["test/unit/**/*.test.ts", "test/layers.test.ts"], isolate: false },
  },
  {
    plugins: [kernels()],
    server: { fs: { strict: false } },
    test: {
      ...oneByOne,
      name: "chrome",
      include: ["test/gpu/**/*.test.ts"],
      browser: {
        enabled: true,
        headless: true,
        provider: chrome,
        screenshotFailures: false,
        ui: false,
        instances: [{ browser: "chrome" }],
      },
    },
  },
  {
    plugins: [kernels()],
    test: { ...oneByOne, name: "e2e", include: ["test/e2e/**/*.test.ts"] },
  },
];

if ("env" in vulkan) {
  const onDawn = { ...oneByOne, pool: "forks", env: vulkan.env } as const;
  projects.push(
    { plugins: [kernels()], test: { ...onDawn, name: "dawn", include: ["test/gpu/**/*.test.ts"] } },
    { plugins: [kernels()], test: { ...onDawn, name: "kernels", include: ["test/kernels/**/*.test.ts"] } },
  );
} else console.warn(`skipped: the projects dawn and kernels; Node finds no ${vulkan.missing}`);

export default defineConfig({ test: { projects, passWithNoTests: true, maxWorkers: 2 } });
