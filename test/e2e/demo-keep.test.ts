/** What outlives a visit, and what is compared: runs in the browser's storage, settings in the address, models side by side. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { History } from "../../demo/protocol.ts";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;
const STEPS = 40;
const LINK = `#model=lstm&text=names&layers=1&width=32&batch=8&sequence=16&context=16&steps=${STEPS}&learningRate=0.02&seed=5&option.embeddingSize=16`;

let demo: Demo;
beforeAll(async () => {
  demo = await startDemo();
}, PATIENCE);
afterAll(() => demo?.close());

const complete = ({ until }: Visit) => until("#status", (now) => now.startsWith("The run is complete"), PATIENCE);
const rows = ({ page }: Visit) => page.$$eval("#runs tr", (lines) => lines.map((line) => line.textContent ?? ""));

/** The courses of the kept runs, oldest first. */
async function histories({ page }: Visit): Promise<readonly History[]> {
  return page.evaluate(
    () =>
      new Promise<History[]>((resolve, reject) => {
        const opening = indexedDB.open("ostinato");
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const reading = opening.result.transaction("runs").objectStore("runs").getAll();
          reading.onsuccess = () => {
            opening.result.close();
            const runs = reading.result as { created: number; history: History }[];
            resolve(runs.sort((a, b) => a.created - b.created).map(({ history }) => history));
          };
        };
      }),
  );
}

/** What Branch goes on with, twice, from the kept state. */
async function branch({ page, fill, enabled }: Visit): Promise<readonly string[]> {
  await fill("#length", "12");
  await enabled("#branch", PATIENCE);
  await page.click("#branch");
  const texts = () => page.$$eval(".branches .answer", (places) => places.map((place) => place.textContent ?? ""));
  await expect.poll(async () => (await texts()).map(({ length }) => length), { timeout: PATIENCE }).toEqual([12, 12]);
  return texts();
}

test("a run and the state that was kept of its text outlive their page and their device, and go on exactly as if nothing had been", {
  timeout: 3 * PATIENCE,
}, async () => {
  const unbroken = await visit(demo, demo.url + LINK);
  await unbroken.enabled("#train", PATIENCE);
  expect(await unbroken.page.$eval("#width", (field) => (field as HTMLInputElement).value)).toBe("32");
  await unbroken.page.click("#train");
  await complete(unbroken);
  await unbroken.page.click("#train");
  await unbroken.until("#progress-step", (now) => /Step (1[2-9]|2\d) /.test(now), PATIENCE);
  await unbroken.page.click("#train");
  await unbroken.until("#status", (now) => now.startsWith("Paused"), PATIENCE);
  const paused = await unbroken.text("#progress-step");
  await unbroken.fill("#length", "4");
  await unbroken.enabled("#generate", PATIENCE);
  await unbroken.page.click("#generate");
  await unbroken.enabled("#keep-state", PATIENCE);
  await unbroken.page.click("#keep-state");
  await unbroken.until("#status", (now) => /^The state after 6 characters is kept/.test(now), PATIENCE);
  const branches = await branch(unbroken);
  await unbroken.page.close();

  const again = await visit(demo, demo.url + LINK);
  const { page, until, text, enabled } = again;
  await until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  expect(await text("#progress-step")).toBe(paused);
  expect(await rows(again)).toHaveLength(2);
  expect(await text("#branch-help")).toMatch(/of the state that is kept after 6 characters/);
  expect(await branch(again)).toEqual(branches);
  await again.fill("#length", "4");
  await page.click("#generate");
  await enabled("#keep-state", PATIENCE);
  const session = await demo.browser.target().createCDPSession();
  await session.send("Browser.crashGpuProcess");
  const told = await until("#status", (now) => now.startsWith("The GPU was lost and is open again."), PATIENCE);
  expect(told).toMatch(/The checkpoint of step \d+ was kept, and the run can be resumed from there\.$/);
  expect(await text("#progress-step")).toBe(paused);
  await page.waitForSelector("#keep-state:disabled"); // what the model remembered of the last answer is gone
  expect(await branch(again)).toEqual(branches);
  await enabled("#stop");
  await page.click("#stop"); // it says Resume
  await complete(again);
  const [whole, broken] = await histories(again);
  const losses = (history?: History) => history?.points.map(({ step, loss, gradNorm }) => [step, loss, gradNorm]);
  expect(losses(whole)).toHaveLength(STEPS);
  expect(losses(broken)).toEqual(losses(whole));
  expect(broken?.heldOut.map(({ loss }) => loss)).toEqual(whole?.heldOut.map(({ loss }) => loss));
  expect(broken?.samples).toEqual(whole?.samples);

  // The older one can be called by a name and taken up too, the newer be removed for good.
  await page.click('#runs tr:last-child button[aria-label^="Rename"]');
  await page.keyboard.type("whole");
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement?.ariaLabel)).toBe("Rename: whole, step 40");
  await again.fill("#width", "48");
  await page.click('#runs tr:last-child button[aria-label="Open: whole, step 40"]');
  await until("#status", (now) => now.startsWith("The run is open again at step 40"), PATIENCE);
  await page.waitForFunction(() => location.hash.includes("&width=32&")); // its settings are those of the page again
  for (const _ of "12") await page.click("#runs tr:first-child .tools button:last-child");
  await until("#status", (now) => now === "The run is removed.");
  await page.reload();
  await until("#status", (now) => now.startsWith("Your latest run is here again"), PATIENCE);
  expect(await rows(again)).toEqual([expect.stringMatching(/^whole/)]);
  expect(again.errors.filter((error) => !/lost|crash/i.test(error))).toEqual([]);
  await page.close();
});

test("models of equal size are compared on equal text, at any width of the page", {
  timeout: 3 * PATIENCE,
}, async () => {
  const visitor = await visit(demo, demo.url + LINK.replace(`steps=${STEPS}`, "steps=20"));
  const { page, until, text, enabled } = visitor;
  await enabled("#compare-start", PATIENCE);
  await page.click('input[name="contender"][value="rwkv7"]');
  expect(await until("#compare-plan", (now) => now.startsWith("2 models"))).toMatch(
    /^2 models of [\d.,]+( k)? to [\d.,]+( k)? parameters; each reads 2,560 characters in 20 steps\./,
  );
  await enabled("#compare-start");
  await page.click("#compare-start");
  const verdict = await until("#compare-verdict", (now) => /learned/.test(now), 2 * PATIENCE);
  expect(verdict).toMatch(/trained fastest \(.*after 512 characters .* (None has|has) all of it here\.$/);
  const table = () =>
    page.$$eval("#compared tr", (lines) => lines.map((line) => [...line.cells].map((cell) => cell.textContent ?? "")));
  const found = await table();
  expect(found.map(([name]) => name)).toEqual([expect.stringMatching(/^LSTM/), expect.stringMatching(/^Transformer/)]);
  for (const cells of found) expect(cells.join(" ")).not.toContain("–");
  const [lstm, transformer] = found.map((cells) => cells.at(-1) as string);
  expect(lstm).toBe("256 B"); // hidden and cell, whatever the text
  expect(transformer).toMatch(/KB$/);
  for (const id of ["tokens", "seconds", "time", "memory"])
    expect(await page.$eval(`#compare-${id}`, (chart) => chart.ariaLabel), id).toMatch(/LSTM .*, Transformer /);
  // What one points at in one chart is read in its neighbour too.
  expect(await text("#compare-memory-read")).toMatch(/^after 512 characters/);
  await page.focus("#compare-time");
  await page.keyboard.press("Home");
  expect(await text("#chart-said")).toMatch(/^after 32 characters: LSTM [\d.]+ ms, Transformer [\d.]+ ms$/);
  expect(await text("#compare-memory-read")).toMatch(/^after 32 characters\s*LSTM 256 B/);

  await page.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
  await page.reload();
  await until("#compare-verdict", (now) => /learned/.test(now), PATIENCE);
  expect(await table()).toEqual(found);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  expect(await text("#compare-verdict")).toBe(verdict);
  expect(visitor.errors).toEqual([]);
  await page.close();
});
