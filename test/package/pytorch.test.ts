/** PyTorch loads what is written here, and computes the same with it; where python3-torch is installed. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { type WriteTensor, writeSafetensors } from "../../src/io/write.ts";
import type { RecurrentLanguageModel } from "../../src/models/recurrent.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { TrainingRun } from "../../src/train/run.ts";
import { getGpu } from "../support/device.ts";
import { MODULES, runModule, type TorchCase, torchCases } from "../support/torchModules.ts";

const SCRIPT = join(import.meta.dirname, "../fixtures/torch/modules.py");

/** An interpreter that has torch, or null. */
const python = ["python3", "/usr/bin/python3"].find((program) => {
  try {
    execFileSync(program, ["-c", "import torch"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});
const vulkan = findVulkan(await findChrome());
if (!python) console.warn("pytorch: skipped, no python3 here has torch (Debian package python3-torch)");

test.skipIf(!python || "missing" in vulkan)("weights and checkpoints load in PyTorch", async () => {
  const device = await openDevice({ gpu: await getGpu() });
  const cases = await torchCases();
  const written: [string, WriteTensor][] = [];
  for (const [name, make] of Object.entries(MODULES)) {
    using module = make(device);
    if (name === "LanguageModel") {
      // As a checkpoint in the middle of its training, with all that such a file holds besides.
      const tokenizer = new CharTokenizer("abcdefghijk");
      const text = { tokenizer, ids: Int32Array.from({ length: 100 }, (_, i) => (i * i) % 11) };
      using run = new TrainingRun(module as RecurrentLanguageModel, text, { batchSize: 2, seqLength: 5, steps: 9 });
      await run.train(3);
      for (const [key, entry] of parseSafetensors(await run.save()).tensors)
        written.push([`${name}/${key}`, { shape: entry.shape, data: toFloat32(entry, key) }]);
    } else {
      for (const [key, { shape, values }] of await module.stateDict())
        written.push([`${name}/${key}`, { shape, data: values }]);
    }
    for (const [i, output] of runModule(device, module, cases.get(name) as TorchCase).entries()) {
      const data = (await output.data()) as Float32Array<ArrayBuffer>;
      written.push([`${name}/out.${i}`, { shape: output.shape, data }]);
      output.dispose();
    }
  }
  expect(device.stats.memory.live).toBe(0);
  device.destroy();
  const folder = mkdtempSync(join(tmpdir(), "ostinato-torch-"));
  const file = join(folder, "modules.safetensors");
  try {
    writeFileSync(file, writeSafetensors(written));
    const differences = JSON.parse(execFileSync(python as string, [SCRIPT, "check", file], { encoding: "utf8" }));
    expect(Object.keys(differences)).toEqual(Object.keys(MODULES));
    for (const [name, difference] of Object.entries(differences)) expect(difference, name).toBeLessThan(1e-5);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
