/** The demo as a visitor uses it: train, watch, talk, save, come back, load, go on. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;
const STEPS = 80;

let demo: Demo;
let folder: string;
beforeAll(async () => {
  demo = await startDemo();
  folder = await mkdtemp(join(tmpdir(), "ostinato-demo-"));
}, PATIENCE);
afterAll(async () => {
  await demo?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The smallest model on the names, with a high rate, so that a few steps show. */
async function chooseSmall({ page, fill, enabled }: Visit): Promise<void> {
  await enabled("#train", PATIENCE);
  await page.click('input[name="text"][value="names"]');
  await fill("#size", "0");
  expect(await page.$eval("#size", (slider) => slider.getAttribute("aria-valuetext"))).toBe("seconds of training");
  for (const [field, value] of Object.entries({
    width: 32,
    "option-embeddingSize": 16,
    batch: 8,
    sequence: 16,
    steps: STEPS,
  }))
    await fill(`#${field}`, String(value));
  await fill("#learning-rate", "0.02");
  await enabled("#train");
  expect(await page.$eval("#size", (slider) => slider.getAttribute("aria-valuetext"))).toBe("set by hand");
}

/** The likeliest continuation of a prompt. */
async function ask({ page, fill, enabled, text }: Visit, prompt: string): Promise<string> {
  await fill("#prompt", prompt);
  await fill("#temperature", "0");
  await fill("#length", "24");
  await enabled("#generate", PATIENCE);
  await page.click("#generate");
  await page.waitForSelector("#generate-stop:disabled", { timeout: PATIENCE });
  return text("#answer");
}

/** Of a line such as "8,136 parameters, 1.2 MB of GPU memory". */
function bytesIn(line: string): number {
  const [, figure = "", unit = ""] = /([\d.,]+) ([KMG]?B)\b/.exec(line) ?? [];
  return Number(figure.replace(",", "")) * 1024 ** ["B", "KB", "MB", "GB"].indexOf(unit);
}

const stepOf = (line: string): number => Number(/Step ([\d,]+)/.exec(line)?.[1]?.replace(",", "") ?? 0);

test("a visitor trains, watches, talks, saves, comes back and goes on", { timeout: 3 * PATIENCE }, async () => {
  const first = await visit(demo);
  const { page, until, text, enabled } = first;
  await page
    .createCDPSession()
    .then((session) => session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder }));
  await chooseSmall(first);
  await page.click("#train");

  // Watch: the loss moves, the samples come.
  const early = Number(await until("#read-train", (now) => Number(now) > 0, PATIENCE));
  await until("#progress-step", (now) => stepOf(now) >= 20, PATIENCE);
  await page.click("#train");
  await until("#status", (now) => now.startsWith("Paused"), PATIENCE);
  const paused = stepOf(await text("#progress-step"));
  expect(await text("#train")).toBe("Resume");
  await page.click("#train");
  await until("#progress-step", (now) => stepOf(now) > paused, PATIENCE);
  await until("#status", (now) => now.startsWith("The run is complete"), PATIENCE);
  expect(stepOf(await text("#progress-step"))).toBe(STEPS);
  expect(Number(await text("#read-train"))).toBeLessThan(early - 0.4);
  expect(Number(await text("#read-held"))).toBeLessThan(early - 0.4);
  const samples = await page.$$eval("#samples li .text", (items) => items.map((item) => item.textContent ?? ""));
  expect(samples.length).toBeGreaterThanOrEqual(3);
  expect(samples.every((sample) => sample.length > 10)).toBe(true);

  // Talk.
  const answer = await ask(first, "Ma");
  expect(answer).toMatch(/^Ma[\s\S]{10,24}$/);
  expect(Number(await text("#talk-rate"))).toBeGreaterThan(0);
  await ask(first, "日");
  expect(await text("#status")).toMatch(/"日" \(U\+65E5\)/);
  expect(await ask(first, "Ma")).toBe(answer);

  // Save.
  await page.click("#save");
  await until("#status", (now) => now.startsWith("Saved"), PATIENCE);
  const name = `ostinato-lstm-names-step-${STEPS}.safetensors`;
  await expect.poll(() => readdir(folder), { timeout: 10_000 }).toContain(name);

  // Come back: a bad file changes nothing, the saved one brings everything.
  await page.reload();
  await until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  const upload = async (path: string) => (await page.$("input#load-file"))?.uploadFile(path);
  const foreign = join(folder, "foreign.safetensors");
  await writeFile(foreign, "not a checkpoint at all");
  await upload(foreign);
  await until("#status", (now) => /foreign\.safetensors begins with "not a ch", as no file does/i.test(now), PATIENCE);
  await upload(join(folder, name));
  await until("#status", (now) => now.startsWith(`Loaded ${name}`), PATIENCE);
  expect(stepOf(await text("#progress-step"))).toBe(STEPS);
  expect(await page.$$eval("#samples li .text", (items) => items.length)).toBe(samples.length);
  expect(await ask(first, "Ma")).toBe(answer);

  // Go on, and stop.
  await enabled("#stop");
  expect(await text("#stop")).toBe("Resume");
  await page.click("#stop");
  await until("#progress-step", (now) => stepOf(now) > STEPS, PATIENCE);
  await page.click("#stop");
  await until("#status", (now) => now.startsWith("Stopped"), PATIENCE);
  expect(first.errors).toEqual([]);
  await page.close();
});

test("a Transformer and an RWKV learn the same text and answer; their curves stay", {
  timeout: 3 * PATIENCE,
}, async () => {
  const visitor = await visit(demo);
  const { page, until, text, fill, enabled } = visitor;
  await chooseSmall(visitor);
  const symbols = await until("#text-report", (now) => /different$/.test(now));
  const untrained = Math.log(Number(/(\d+) different/.exec(symbols)?.[1]));
  for (const model of ["transformer", "rwkv7"]) {
    await page.click(`input[name="model"][value="${model}"]`);
    await fill("#option-heads", "2");
    await fill("#steps", "30");
    expect(await page.$eval("#context", (field) => (field as HTMLInputElement).disabled)).toBe(model === "rwkv7");
    await enabled("#train");
    const planned = bytesIn(await text("#plan"));
    await page.click("#train");
    await until("#status", (now) => now.startsWith("The run is complete"), PATIENCE);
    const taken = bytesIn(await text("#meter-memoryBytes"));
    expect(taken / planned, `${model}: ${taken} bytes of ${planned}`).toBeGreaterThan(0.75);
    expect(taken / planned, `${model}: ${taken} bytes of ${planned}`).toBeLessThan(1.25);
    expect(Number(await text("#read-held")), model).toBeLessThan(untrained - 0.4);
    await ask(visitor, "Ma");
    expect(await text("#status"), model).toMatch(/^The run is complete/);
    // A young model may write only line ends.
    expect(await page.$eval("#answer", (element) => element.textContent?.length), model).toBe("Ma".length + 24);
  }
  // Of earlier runs the one before stays drawn, and those that are kept.
  const drawn = () =>
    page.$$eval("#loss-runs li", (rows) => rows.map((row) => /^\S+/.exec(row.textContent ?? "")?.[0]));
  expect(await drawn()).toEqual(["RWKV-7", "Transformer"]);
  await page.click("#look-start");
  await page.waitForSelector("#look-part:not(:disabled)", { timeout: PATIENCE });
  await page.click("#loss-runs li:last-child button");
  expect(await page.$eval("#loss-runs li:last-child button", (keep) => keep.ariaPressed)).toBe("true");
  await page.click('input[name="model"][value="rnn"]');
  await fill("#steps", "10");
  await enabled("#train");
  await page.click("#train");
  await until("#status", (now) => now.startsWith("The run is complete"), PATIENCE);
  expect(await drawn()).toEqual(["RNN", "RWKV-7", "Transformer"]);
  // What was seen of another model is gone with it.
  expect(await text("#look-part")).toBe("Nothing yet");
  expect(await page.$eval("#look-empty", (hint) => (hint as HTMLElement).hidden)).toBe(false);
  const names = await page.$$eval("#runs tr", (rows) => rows.map((row) => row.textContent ?? ""));
  expect(names.some((name) => name.includes("Transformer 1 × 32"))).toBe(true);
  expect(names.some((name) => name.includes("RWKV-7 1 × 32"))).toBe(true);
  expect(visitor.errors).toEqual([]);
  await page.close();
});

test("after a lost device the run goes on from what was kept", { timeout: 3 * PATIENCE }, async () => {
  const visitor = await visit(demo);
  const { page, until, text } = visitor;
  await chooseSmall(visitor);
  await visitor.fill("#steps", "2000");
  await page.click("#train");
  const sampled = () => page.$$eval("#samples li b", (steps) => steps.map((step) => step.textContent));
  // Past a sample that came after the checkpoint, and comes again.
  await until("#progress-step", (now) => stepOf(now) >= 21, PATIENCE);
  await expect.poll(sampled, { timeout: PATIENCE }).toContain("step 20");
  const session = await demo.browser.target().createCDPSession();
  await session.send("Browser.crashGpuProcess");
  await until("#status", (now) => /was lost and is open again/.test(now), PATIENCE);
  expect(await text("#status")).toMatch(/checkpoint of step \d+ was kept, and the run goes on from there/);
  const kept = stepOf(await text("#progress-step"));
  await until("#progress-step", (now) => stepOf(now) > Math.max(kept + 5, 21), PATIENCE);
  await page.click("#stop");
  await until("#status", (now) => now.startsWith("Stopped"), PATIENCE);
  const steps = await sampled();
  expect(steps).toContain("step 20");
  expect(new Set(steps).size).toBe(steps.length);
  expect(visitor.errors.filter((error) => !/lost|crash/i.test(error))).toEqual([]);
  await page.close();
});

test("a visitor's own text is measured against the batch, and learned once it is long enough", {
  timeout: PATIENCE,
}, async () => {
  const { page, enabled, fill, until, text, errors } = await visit(demo);
  await enabled("#train", PATIENCE);
  await page.click('input[name="text"][value="own"]');
  await until("#text-report", (now) => now === "Paste at least a page.");
  await page.waitForSelector("#train:disabled");
  await fill("#own-text", "Too short.");
  expect(await until("#plan", (now) => /use a longer text/.test(now))).toMatch(/^The text has 10 tokens/);
  await page.waitForSelector("#train:disabled");
  await fill("#own-text", "It was the best of times, it was the worst of times. ".repeat(200));
  await until("#text-report", (now) => now === "10,600 characters, 16 different");
  await enabled("#train");
  const file = join(folder, "tale.txt");
  await writeFile(file, "It was the age of wisdom. ".repeat(900));
  await (await page.$("input#own-file"))?.uploadFile(file);
  await until("#status", (now) => now.startsWith("Took tale.txt as the text"));
  await until("#text-report", (now) => now.startsWith("23,400 characters"));
  await enabled("#train");
  // A file that is dropped, and one that is no text.
  const drop = (name: string, ...parts: BlobPart[]) =>
    page.evaluate(
      (name, parts) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(parts, name));
        for (const kind of ["dragenter", "drop"])
          document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
      },
      name,
      parts as string[],
    );
  await drop("whale.txt", "There she blows. ".repeat(600));
  await until("#status", (now) => now.startsWith("Took whale.txt as the text"));
  await until("#text-report", (now) => now.startsWith("10,200 characters"));
  expect(await page.$eval("#drop", (sign) => (sign as HTMLElement).hidden)).toBe(true);
  await drop("whale.png", "\u0089PNG\r\n\u001a\n\0\0\0\rIHDR");
  expect(await until("#status", (now) => now.startsWith("whale.png"))).toMatch(/no text in UTF-8.*stays as it was/);
  expect(await text("#text-report")).toMatch(/^10,200 characters/);
  // What no device holds at once is refused, with the way out.
  await fill("#batch", "512");
  await fill("#width", "8192");
  expect(await until("#plan", (now) => /at once/.test(now))).toMatch(
    /take [\d,]+ MB, and this device binds at most [\d,]+ MB at once\. Choose a smaller width[a-z, ]*\.$/,
  );
  await page.waitForSelector("#train:disabled");
  expect(errors).toEqual([]);
  await page.close();
});

test("on a phone nothing runs off the side, and Train is in reach", { timeout: PATIENCE }, async () => {
  const { page, enabled } = await visit(demo);
  await page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
  await page.reload();
  await enabled("#train", PATIENCE);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  const button = await page.$eval("#train", (element) => element.getBoundingClientRect().toJSON());
  expect(button.top).toBeGreaterThan(422);
  expect(button.bottom).toBeLessThanOrEqual(844);
  expect(button.height).toBeGreaterThanOrEqual(36);
  const order = await page.$$eval("main > *", (parts) =>
    parts
      .map((part) => ({ name: part.className, top: part.getBoundingClientRect().top }))
      .sort((a, b) => a.top - b.top)
      .map(({ name }) => name.split(" ").at(-1)),
  );
  expect(order).toEqual(["stage", "talk", "settings"]);
  await page.close();
});
