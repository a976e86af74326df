/** What a visitor sees of a model's insides, with a mouse, with keys alone, with axe's eyes, and through a loss. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seriousFindings } from "../support/axe.ts";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";
import { mainThreadTasks } from "../support/tasks.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;
const link = (model: string, steps: number) =>
  `#model=${model}&text=sort&layers=1&width=32&batch=8&sequence=16&context=32&steps=${steps}&learningRate=0.02&seed=5`;

/** Where pictures of the page go, to be looked at; none are made otherwise. */
const PICTURES = process.env.PICTURES;

let demo: Demo;
beforeAll(async () => {
  demo = await startDemo();
}, PATIENCE);
afterAll(() => demo?.close());

const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };

async function picture({ page }: Visit, name: string): Promise<void> {
  if (!PICTURES) return;
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`) as `${string}.png`, fullPage: true });
}

/** The page as it is now, light and dark, wide and on a phone. */
async function expectForAll(visitor: Visit, name: string): Promise<void> {
  const { page } = visitor;
  for (const theme of ["light", "dark"]) {
    for (const [size, viewport] of [
      ["desktop", DESKTOP],
      ["phone", PHONE],
    ] as const) {
      await page.setViewport(viewport);
      expect(await seriousFindings(page), `${name}, ${theme}, ${size}`).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), size).toBeLessThanOrEqual(viewport.width);
      await picture(visitor, `${name}-${theme}-${size}`);
    }
    await page.click("#theme");
  }
  await page.setViewport(DESKTOP);
}

async function train({ page, enabled, until }: Visit): Promise<void> {
  await enabled("#train", PATIENCE);
  await page.click("#train");
  await until("#status", (now) => now.startsWith("The run is complete"), PATIENCE);
}

async function generate({ page, fill, enabled }: Visit, prompt: string, length: number): Promise<void> {
  await fill("#prompt", prompt);
  await fill("#length", String(length));
  await enabled("#generate", PATIENCE);
  await page.click("#generate");
  await page.waitForSelector("#generate-stop:disabled", { timeout: PATIENCE });
}

const textsOf = ({ page }: Visit, selector: string) =>
  page.$$eval(selector, (all) => all.map((element) => element.textContent ?? ""));

test("a visitor sees what was likely, branches, looks inside, checks the GPU; axe finds nothing serious", {
  timeout: 5 * PATIENCE,
}, async () => {
  await demo.browser
    .defaultBrowserContext()
    .overridePermissions(new URL(demo.url).origin, ["clipboard-sanitized-write"]);
  const visitor = await visit(demo, demo.url + link("gru", 40));
  const { page, until, text, fill, enabled } = visitor;
  await page.setViewport(DESKTOP);
  await train(visitor);

  // A task: the share of right answers, in the place of the loss until the visitor wants that.
  expect(await text("#read-right")).toMatch(/^\d+%$/);
  expect(await page.$eval('input[name="scale"][value="answers"]', (it) => (it as HTMLInputElement).checked)).toBe(true);
  expect(await text("#loss-title")).toBe("Answers");
  expect(await text("#loss-help")).toMatch(/Higher is better\.$/);
  expect(await text("#loss-runs b")).toBe(await text("#read-right"));
  expect(await page.$eval("#loss-chart", (chart) => chart.ariaLabel)).toMatch(/\d+% of the held-out questions/);

  // Pointing at one chart reads all of the run: an earlier step, with what the meters said then.
  const last = [await text("#read-at"), await text("#meter-learningRate")];
  await page.hover("#loss-chart .u-over");
  expect(await text("#read-at")).toMatch(/^step (1\d|2\d)$/);
  expect(await text("#meter-learningRate")).not.toBe(last[1]);
  await page.mouse.move(0, 0);
  expect([await text("#read-at"), await text("#meter-learningRate")]).toEqual(last);

  // What else was likely, by keys and by pointer, as the sampling stands now.
  await generate(visitor, "cafe=", 12);
  const tokens = await textsOf(visitor, "#answer .token");
  expect(tokens).toHaveLength(12);
  await page.focus("#answer");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  expect(await text("#likely-title")).toMatch(/^“.” came with \d/);
  expect(await text("#answer .looked-at")).toBe(tokens[1]?.trim());
  const rows = () => textsOf(visitor, '#likely li[data-empty="no"] .figure');
  expect(await rows()).toHaveLength(8);
  await fill("#temperature", "0");
  expect((await rows()).map((row) => /drawn 100\.0%$/.test(row))).toEqual([true, ...Array(7).fill(false)]);
  await fill("#temperature", "1");
  const other = tokens.findIndex((token, i) => token.trim() !== "" && i !== 1);
  await (await page.$$("#answer .token"))[other]?.hover();
  expect(
    await page.$$eval("#answer .token", (all) => all.flatMap((token, i) => (token.matches(".looked-at") ? [i] : []))),
  ).toEqual([other]);
  expect(await text("#talk-grows")).toMatch(/^After 17 characters the state is \d+ B, as after any other number\.$/);

  // Two ways on from a kept state; the same again from the same seeds.
  await page.click("#keep-state");
  await until("#status", (now) => /^The state after 17 characters is kept/.test(now), PATIENCE);
  const branch = async () => {
    await page.click("#branch");
    await page.waitForSelector("#generate:not(:disabled)", { timeout: PATIENCE });
    return [await page.$eval("#branch-0", (b) => b.textContent), await page.$eval("#branch-1", (b) => b.textContent)];
  };
  const first = await branch();
  expect(first.map((one) => one?.length)).toEqual([12, 12]);
  expect(await branch()).toEqual(first);

  // Look inside.
  await fill("#look-text", "cafebabe=aabbceef");
  await page.click("#look-start");
  await page.waitForSelector("#look-part:not(:disabled)", { timeout: PATIENCE });
  expect(await text("#look-part")).toBe("Layer 1, hidden units");
  expect(
    await page.$eval("#look-picture", (canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const { data } = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height);
      return { width, height, colours: new Set(new Uint32Array(data.buffer)).size > 20 };
    }),
  ).toEqual({ width: 17, height: 32, colours: true });
  await page.focus("#look-picture");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  expect(await text("#look-read")).toMatch(/^After “.”, unit \d+ is −?\d\.\d{3}$/);

  // Stored scores against tiles: the same result, in less memory.
  await page.click("#attention-start");
  await until("#attention-verdict", (now) => now.startsWith("Over 1,024 characters: "), PATIENCE);
  await page.waitForFunction(() => document.querySelector("#attention-start")?.textContent === "Measure");
  expect(await text("#attention-verdict")).toMatch(
    / with stored scores, .* in tiles; the results are equal to \de-\d\.$/,
  );
  expect(await page.$eval("#attention-memory", (chart) => chart.ariaLabel)).toMatch(
    /^Memory against characters: at 1,024, \d\.\d MB with stored scores, [\d.]+ KB in tiles$/,
  );

  // Check the GPU: some of it, then stop.
  await enabled("#check-start");
  await page.click("#check-start");
  await until("#check-verdict", (now) => /^[2-9]\d* of \d\d checked$/.test(now), PATIENCE);
  await page.click("#check-start");
  await until("#check-verdict", (now) => /^Stopped after \d+ of \d\d checks, all of them right\.$/.test(now), PATIENCE);
  await page.click("#check-details summary");
  expect((await textsOf(visitor, "#checks tr td:nth-child(4)")).every((verdict) => verdict === "right")).toBe(true);
  await page.click("#check-copy");
  await until("#status", (now) => now === "The table is on the clipboard, as Markdown.", PATIENCE);

  await expectForAll(visitor, "look");
  expect(visitor.errors).toEqual([]);
  await page.close();
});

test("with keys alone; no task of the page holds its main thread for 50 ms, and nothing jumps; a loss while it writes costs nothing", {
  timeout: 4 * PATIENCE,
}, async () => {
  const visitor = await visit(demo, demo.url + link("transformer", 2000));
  const { page, until, text, enabled, fill } = visitor;
  await page.setViewport(DESKTOP);
  const tabTo = async (id: string) => {
    for (let i = 0; i < 90; i++) {
      if ((await page.evaluate(() => document.activeElement?.id)) === id) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`90 presses of Tab do not reach ${id}`);
  };
  const stepOf = (line: string) => Number(/Step ([\d,]+)/.exec(line)?.[1]?.replace(",", "") ?? 0);
  await enabled("#train", PATIENCE);
  expect(await text("#look-empty")).toMatch(/^Train a model or open one/);
  await tabTo("train");
  await page.keyboard.press("Enter");
  await until("#progress-step", (now) => /Step ([2-9]|\d\d+) of 2,000/.test(now), PATIENCE);
  const tasks = await mainThreadTasks(page, async () => {
    const from = stepOf(await text("#progress-step"));
    const end = Date.now() + 8000;
    while (Date.now() < end && stepOf(await text("#progress-step")) < from + 60)
      await new Promise((resolve) => setTimeout(resolve, 200));
  });
  expect(tasks.length).toBeGreaterThan(50);
  expect(Math.max(...tasks)).toBeLessThan(50);

  // Another tab comes to the front: the run goes on behind it.
  const other = await demo.browser.newPage();
  await other.bringToFront();
  expect(await page.evaluate(() => document.visibilityState)).toBe("hidden");
  const left = stepOf(await text("#progress-step"));
  await until("#progress-step", (now) => stepOf(now) > left + 10, PATIENCE);
  await other.close();
  await page.bringToFront();

  await tabTo("stop");
  await page.keyboard.press("Enter");
  await until("#status", (now) => now.startsWith("Stopped"), PATIENCE);
  await tabTo("loss-chart");
  await page.keyboard.press("Home");
  expect(await text("#chart-said")).toMatch(
    /^step 10: train \d\.\d{3}, held-out \d\.\d{3}, \d+% answered right\. .* of GPU memory\.$/,
  );
  await tabTo("prompt");
  await page.keyboard.down("Control");
  await page.keyboard.press("a");
  await page.keyboard.up("Control");
  await page.keyboard.type("fade=");
  await fill("#length", "20000");
  await page.keyboard.down("Control");
  await page.keyboard.press("Enter");
  await page.keyboard.up("Control");
  await until("#answer", (now) => now.length > 20, PATIENCE);
  expect(await visitor.shifted()).toBeLessThan(0.005);

  // The GPU is lost while the model writes.
  const session = await demo.browser.target().createCDPSession();
  await session.send("Browser.crashGpuProcess");
  await until("#status", (now) => /was lost and is open again/.test(now), PATIENCE);
  expect(await text("#status")).toMatch(/checkpoint of step \d+ was kept, and the run can be resumed from there/);
  expect((await text("#answer")).length).toBeGreaterThan(20);
  await fill("#length", "6");
  await enabled("#generate", PATIENCE);
  await page.click("#generate");
  await page.waitForSelector("#answer .token", { timeout: PATIENCE });
  expect(await textsOf(visitor, "#answer .token")).toHaveLength(6);

  // Attention: a triangle.
  await fill("#look-text", "fade=adef");
  await page.click("#look-start");
  await page.waitForSelector("#look-part:not(:disabled)", { timeout: PATIENCE });
  expect(await text("#look-part")).toMatch(/^Layer 1, head 1/);
  expect(await page.$eval("#look-empty", (hint) => (hint as HTMLElement).hidden)).toBe(true);
  expect(await textsOf(visitor, "#look-rows span")).toEqual([..."fade=adef"]);
  await page.focus("#look-picture");
  await page.keyboard.press("ArrowRight");
  expect(await text("#look-read")).toMatch(/^“.” gives “.” 100\.0% of its attention$/);
  await page.keyboard.press("ArrowRight");
  expect(await text("#look-read")).toMatch(/ 0\.0% of its attention$/);
  expect(await text("#chart-said")).toBe(await text("#look-read"));
  // The row lies over the text, in its colours: all of the first character's attention is its own.
  const tones = await page.$$eval("#look-tokens span", (all) => all.map((one) => one.style.getPropertyValue("--tone")));
  expect(new Set(tones.slice(1)).size).toBe(1);
  expect(tones[0]).not.toBe(tones[1]);
  await picture(visitor, "attention-light-desktop");
  expect(visitor.errors.filter((error) => !/lost|crash/i.test(error))).toEqual([]);
  await page.close();
});
