/** Bad luck: the storage is full, the page is closed while it saves, the numbers overflow. Nothing is lost, and a way on is told. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WebWorker } from "puppeteer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;
const LINK =
  "#model=lstm&text=names&layers=1&width=32&batch=8&sequence=16&steps=2000&learningRate=0.02&schedule=constant&seed=5&option.embeddingSize=16";

let demo: Demo;
let folder: string;
beforeAll(async () => {
  demo = await startDemo();
  folder = await mkdtemp(join(tmpdir(), "ostinato-luck-"));
}, PATIENCE);
afterAll(async () => {
  await demo?.close();
  await rm(folder, { recursive: true, force: true });
});

const stepOf = (line: string): number => Number(/Step ([\d,]+)/.exec(line)?.[1]?.replace(",", "") ?? 0);

/** The worker, in which the engine and the storage live. */
const workerOf = ({ page }: Visit) => page.workers()[0] as WebWorker;

async function pause({ page, until, text }: Visit): Promise<number> {
  await page.click("#train");
  await until("#train", (now) => now === "Resume", PATIENCE);
  return stepOf(await text("#progress-step"));
}

async function resume({ page, until, enabled }: Visit, from: number): Promise<void> {
  await enabled("#train", PATIENCE);
  await page.click("#train");
  await until("#progress-step", (now) => stepOf(now) > from + 5, PATIENCE);
}

test("a full storage is told once and stops nothing; a page that is closed in mid-save keeps the older checkpoint whole", {
  timeout: 3 * PATIENCE,
}, async () => {
  const visitor = await visit(demo, demo.url + LINK);
  const { page, until, text, enabled } = visitor;
  const session = await page.createCDPSession();
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  await enabled("#train", PATIENCE);
  await workerOf(visitor).evaluate(() => {
    const { add } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.add = () => {
      throw new DOMException("no room", "QuotaExceededError");
    };
    Object.assign(self, {
      makeRoom() {
        IDBObjectStore.prototype.add = add;
      },
    });
  });
  await page.click("#train");
  const full =
    /^The browser's storage for this page is full .*; Save gives it as a file, and removing .* makes room\.$/;
  await until("#status", (now) => full.test(now), PATIENCE);
  const step = stepOf(await text("#progress-step"));
  await until("#progress-step", (now) => stepOf(now) > step + 5, PATIENCE);
  await page.click("#save");
  await until("#status", (now) => now.startsWith("Saved "), PATIENCE);
  await expect.poll(() => readdir(folder), { timeout: 10_000 }).toHaveLength(1);

  // There is room again.
  await workerOf(visitor).evaluate(() => (self as unknown as { makeRoom(): void }).makeRoom());
  const kept = await pause(visitor);
  await until("#status", (now) => now === "There is room again, and the browser keeps this run.", PATIENCE);

  // The new checkpoint is written, and the older one about to be dropped, when the page is closed.
  await resume(visitor, kept);
  await page.evaluate(() => {
    new BroadcastChannel("saving").addEventListener("message", () => {
      document.title = "saving";
    });
  });
  await workerOf(visitor).evaluate(() => {
    IDBObjectStore.prototype.delete = () => {
      new BroadcastChannel("saving").postMessage("");
      for (;;); // until the page is closed
    };
  });
  await page.click("#train");
  await page.waitForFunction(() => document.title === "saving", { timeout: PATIENCE });
  expect(visitor.errors).toEqual([]);
  await page.close();

  const again = await visit(demo, demo.url + LINK);
  await again.until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  expect(stepOf(await again.text("#progress-step"))).toBe(kept);
  await again.enabled("#stop");
  await again.page.click("#stop"); // it says Resume
  await again.until("#progress-step", (now) => stepOf(now) > kept, PATIENCE);
  await pause(again);
  await again.until("#status", (now) => now.startsWith("Paused"), PATIENCE);
  expect(again.errors).toEqual([]);
  await again.page.close();
});

test("a visitor who comes back without a GPU still has the runs, and takes them along as files", {
  timeout: PATIENCE,
}, async () => {
  const visitor = await visit(demo, demo.url + LINK, () => {
    Object.defineProperty(Navigator.prototype, "gpu", { value: undefined });
  });
  const { page, until, text } = visitor;
  const session = await page.createCDPSession();
  const place = await mkdtemp(join(folder, "exports-"));
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: place });
  await page.waitForSelector('#runs button[aria-label^="Export"]:not(:disabled)', { timeout: PATIENCE });
  expect(await text("#status")).toMatch(/does not offer WebGPU/);
  await page.waitForSelector('#runs button[aria-label^="Open"]:disabled');
  await page.click('#runs button[aria-label^="Export"]');
  await until("#status", (now) => now.startsWith("Saved "), PATIENCE);
  await expect.poll(() => readdir(place), { timeout: 10_000 }).toEqual([expect.stringMatching(/\.safetensors$/)]);
  const [file] = await readdir(place);
  const { training } = readCheckpoint(await readFile(join(place, file as string)));
  expect(file).toContain(`-step-${training?.state.step}.`);
  expect(visitor.errors).toEqual([]);
  await page.close();
});

test("numbers that overflow end the run: the first tensor is named, and what was kept stays", {
  timeout: 3 * PATIENCE,
}, async () => {
  const visitor = await visit(demo, demo.url + LINK);
  const { page, until, text, fill, enabled } = visitor;
  await enabled("#load", PATIENCE);
  await until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  const saved = (await readdir(folder)).find((name) => name.endsWith(".safetensors"));
  // The same run, whose next step goes too far.
  const file = (await readFile(join(folder, saved as string))).toString("latin1");
  const reckless = file.replaceAll(/learningRate\\":0\.02(?=[,}])/g, 'learningRate\\":1e06');
  expect(reckless).not.toBe(file);
  await writeFile(join(folder, "reckless.safetensors"), Buffer.from(reckless, "latin1"));
  await (await page.$("input#load-file"))?.uploadFile(join(folder, "reckless.safetensors"));
  await until("#status", (now) => now.startsWith("Loaded reckless.safetensors"), PATIENCE);
  const loaded = stepOf(await text("#progress-step"));
  await enabled("#stop");
  await page.click("#stop"); // it says Resume
  const told = await until("#status", (now) => /not finite/.test(now), PATIENCE);
  expect(told).toMatch(
    /^The last \d+ steps up to step \d+ had gradients that are not finite and were skipped; the first tensor that is not finite in step \d+ is the (result|gradient) of .*\S; lower the learning rate/,
  );
  await until("#status", (now) => now.endsWith(`The run stands again where it was at step ${loaded}.`), PATIENCE);
  expect(stepOf(await text("#progress-step"))).toBe(loaded);
  await fill("#length", "8");
  await enabled("#generate", PATIENCE);
  await page.click("#generate");
  await until("#status", (now) => now === "The answer is complete.", PATIENCE);
  await page.waitForSelector("#answer .token");

  await page.reload();
  await until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  expect(stepOf(await text("#progress-step"))).toBe(loaded);
  expect(visitor.errors).toEqual([]);
  await page.close();
});
