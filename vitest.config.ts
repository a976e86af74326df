import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { kernels } from "./kernels/plugin.ts";
import { findChrome, findVulkan } from "./scripts/chrome.ts";
import { chrome } from "./test/support/provider.ts";

/** Emulated GPUs are slow, and the first use of a kernel compiles it. */
const GPU_TIMEOUT = 60_000;

/** Files of a process or page share its device and compiled pipelines; two processes would compile them twice. */
const shared = { isolate: false, testTimeout: GPU_TIMEOUT, hookTimeout: GPU_TIMEOUT };
const oneByOne = { ...shared, fileParallelism: false, maxWorkers: 1 };

/** Matrices of sizes that hold a kernel's arithmetic, which Dawn in Node runs in every test run; Chrome compiles with the same Tint. */
const wide = [
  "addLayerNorm",
  "attention",
  "attention-decode",
  "attention-limits",
  "binary",
  "conformance",
  "crossEntropy",
  "half",
  "inspect",
  "linear",
  "matmul",
  "matmul-gradient",
  "norm",
  "open-published",
  "reduce",
  "retention",
  "rnn",
  "rnn-cases",
  "rwkv",
  "rwkv-tuning",
  "sample",
  "scan",
  "self-check",
  "session-file",
  "softmax",
  "state-space",
  "transformer",
  "transformer-options",
  "transformer-training",
  "wkv",
  "wkv-delta",
  "wkv-mix",
  "wkv4",
].map((name) => `test/gpu/${name}.test.ts`);

const chromeBrowser = {
  enabled: true,
  headless: true,
  provider: chrome,
  screenshotFailures: false,
  ui: false,
  instances: [{ browser: "chrome" }],
};

const vulkan = findVulkan(await findChrome());
if ("missing" in vulkan) console.warn(`dawn: skipped, this machine has no ${vulkan.missing}`);

/** Projects take turns in this order: the quick ones first, and never two that load the processor. */
const tests: NonNullable<Extract<TestProjectConfiguration, { test?: unknown }>["test"]>[] = [
  { name: "unit", include: ["test/unit/**/*.test.ts", "test/layers.test.ts"], isolate: false },
  { ...shared, name: "kernels", maxWorkers: 2, include: ["test/kernels/**/*.test.ts"] },
  { ...oneByOne, name: "dawn", include: ["test/gpu/**/*.test.ts"] },
  {
    ...oneByOne,
    name: "chrome",
    include: ["test/gpu/**/*.test.ts"],
    exclude: "env" in vulkan ? wide : [],
    browser: chromeBrowser,
  },
  { ...oneByOne, name: "wide-chrome", include: wide, browser: chromeBrowser },
  { ...oneByOne, name: "wide-bench", include: ["test/bench/**/*.test.ts"] },
  { ...oneByOne, name: "package", include: ["test/package/**/*.test.ts", "test/examples/**/*.test.ts"] },
  { ...oneByOne, name: "e2e", include: ["test/e2e/**/*.test.ts"] },
];

const projects = tests
  .filter(({ name }) => name !== "dawn" || "env" in vulkan)
  .map((test, groupOrder) => ({
    plugins: [kernels()],
    server: { fs: { strict: false } },
    test: { ...test, sequence: { groupOrder } },
  }));

export default defineConfig({ test: { projects, pool: "forks", maxWorkers: 2 } });
