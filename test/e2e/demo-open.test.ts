/** Trained models in the page: by file and by address, and every way in which that goes wrong without harm. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeSafetensors } from "../../src/io/write.ts";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";
import { gpt2, letterPairs, RWKV4, rwkv4 } from "../support/published.ts";
import { torchFile } from "../support/torch.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;

const ostinato = JSON.stringify({ config: RWKV4, tokenizer: { kind: "bytes" }, training: null });
const tensors = rwkv4();
/** One model, as three programs write it. */
const published = writeSafetensors(tensors);
/** A GPT-2 of a few letters and pairs, which lie in a file of their own. */
const letters = writeSafetensors(gpt2(31));
const FILES = {
  "own.safetensors": writeSafetensors(tensors, { ostinato }),
  "rwkv.safetensors": published,
  "rwkv.pth": torchFile(tensors),
  "short.safetensors": published.slice(0, published.length / 2),
  "other.safetensors": writeSafetensors([["vision.weight", { shape: [2, 3], data: new Float32Array(6) }]]),
  "no-rest.safetensors": writeSafetensors([...tensors].filter(([name]) => !/blocks\.1\./.test(name))),
  "notes.txt": new TextEncoder().encode("Dear diary"),
  "letters.safetensors": letters,
  "tokenizer.json": new TextEncoder().encode(letterPairs()),
  "gpt2.safetensors": writeSafetensors(gpt2(50257)),
};

/** What ships with the page, once it is trained. */
const shipped = readdirSync(join(import.meta.dirname, "../../demo/starters")).filter((name) =>
  /safetensors$/.test(name),
);

let demo: Demo;
let folder: string;
let server: Server;
let address: string;
/** The rest of a held answer, once it is let go. */
let letGo: () => void = () => {};
/** Answers that the page broke off. */
let brokenOff = 0;
/** The held file is no longer there. */
let withdrawn = false;

function answer(url: string | undefined, response: ServerResponse): void {
  response.setHeader("Access-Control-Allow-Origin", "*");
  if (url === "/held.safetensors" && !withdrawn) {
    response.setHeader("Content-Length", published.length);
    response.write(published.subarray(0, 300_000));
    response.on("close", () => {
      if (!response.writableFinished) brokenOff++;
    });
    letGo = () => response.end(published.subarray(300_000));
  } else if (url === "/gpt2/model.safetensors") response.end(letters);
  else if (url === "/gpt2/tokenizer.json") response.end(letterPairs());
  else if (url === "/other.safetensors") response.end(FILES["other.safetensors"]);
  else if (url === "/page.safetensors")
    response.setHeader("Content-Type", "text/html").end("<!doctype html><title>Log in</title>");
  else if (url === "/breaks.safetensors") {
    response.setHeader("Content-Length", published.length);
    response.write(published.subarray(0, 300_000), () => response.destroy());
  } else response.writeHead(404).end();
}

beforeAll(async () => {
  server = createServer(({ url }, response) => answer(url, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  folder = await mkdtemp(join(tmpdir(), "ostinato-open-"));
  await Promise.all(Object.entries(FILES).map(([name, bytes]) => writeFile(join(folder, name), bytes)));
  demo = await startDemo();
}, PATIENCE);
afterAll(async () => {
  await demo?.close();
  server?.closeAllConnections();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

async function upload({ page, enabled }: Visit, ...names: string[]): Promise<void> {
  await enabled("#open-choose", PATIENCE);
  await (await page.$("input#open-files"))?.uploadFile(...names.map((name) => join(folder, name)));
}

async function fetchFrom({ page, enabled, fill }: Visit, url: string): Promise<void> {
  await enabled("#open-fetch", PATIENCE);
  await fill("#open-address", url);
  await page.click("#open-fetch");
}

async function loseDevice(): Promise<void> {
  const session = await demo.browser.target().createCDPSession();
  await session.send("Browser.crashGpuProcess");
}

/** What the open model goes on with: what it holds likeliest, unless the fields say something else. */
async function ask(
  { page, enabled, fill, text }: Visit,
  fields: Readonly<Record<string, number>> = {},
): Promise<string> {
  const all = { prompt: "whale", temperature: 0, length: 8, ...fields };
  for (const [id, value] of Object.entries(all)) await fill(`#${id}`, String(value));
  await enabled("#generate", PATIENCE);
  await page.click("#generate");
  await page.waitForSelector("#generate-stop:disabled", { timeout: PATIENCE });
  return text("#answer");
}

test("a model is opened from any of its files, and nothing that cannot be opened costs it", {
  timeout: 2 * PATIENCE,
}, async () => {
  const visitor = await visit(demo);
  const { page, until, text } = visitor;
  await upload(visitor, "own.safetensors");
  await until("#status", (now) => now.startsWith("Opened own.safetensors: "), PATIENCE);
  expect(await text("#status")).toMatch(
    /: [\d,]+ parameters, 256 different tokens, [\d.]+ KB of state\. Talk to it\.$/,
  );
  expect(await text("#speaker")).toBe("own.safetensors");
  const said = await ask(visitor);
  expect(said).toMatch(/^whale[a-z]{8}$/);
  for (const name of ["rwkv.pth", "rwkv.safetensors"]) {
    await upload(visitor, name);
    await until("#speaker", (now) => now === name, PATIENCE);
    expect(await ask(visitor), name).toBe(said);
  }

  const refusals: [name: string, sentence: RegExp][] = [
    ["short.safetensors", /^short\.safetensors ended after \d+ of \d+ bytes; load it again\.$/],
    [
      "other.safetensors",
      /\("vision\.weight", 1 in all\) are those of no model that is known; this engine opens .+\.$/,
    ],
    ["no-rest.safetensors", /^The file lacks layer 1 of 3; use all parts of the checkpoint\.$/],
    ["notes.txt", /^That is a tokenizer without its model; choose both files together\.$/],
    [`${address}/page.safetensors`, /is a web page instead of a file; use the address of the file itself.*\.$/],
    [`${address}/other.safetensors`, /are those of no model that is known; .+\.$/],
    [`${address}/breaks.safetensors`, /broke off after \d+ of \d+ bytes \(.*\); load it again\.$/],
    [`${address}/missing.safetensors`, /answered 404 Not Found; check the address, and whether it needs a login\.$/],
    ["http://127.0.0.1:9/model.safetensors", /cannot be fetched \(.*\); check the address and the network.*\.$/],
    ["ftp://127.0.0.1/model.safetensors", /is not an address of a file; it begins with https:\/\/ and ends .+\.$/],
  ];
  for (const [from, sentence] of refusals) {
    await (from.includes("://") ? fetchFrom(visitor, from) : upload(visitor, from));
    const told = await until("#status", (now) => !/^Opened|^The answer is complete/.test(now), PATIENCE);
    expect(told, from).toMatch(sentence);
    expect(await page.$eval("#status", (line) => (line as HTMLElement).dataset.tone), from).toBe("trouble");
    expect(await text("#opening-text"), from).toBe("rwkv.safetensors is open.");
    expect(await ask(visitor), from).toBe(said);
    expect(await text("#status"), from).toBe("The answer is complete.");
  }

  // By its address, with progress; stopped half-way, then to the end.
  await fetchFrom(visitor, `${address}/held.safetensors`);
  const part = /^([12]\d\d) KB of 766 KB read\.$/;
  const read = Number(part.exec(await until("#opening-text", (now) => part.test(now), PATIENCE))?.[1]);
  expect(await page.$eval("#opening", (bar) => (bar as HTMLProgressElement).value)).toBeCloseTo(read / 766, 2);
  await page.click("#opening-stop");
  await until("#status", (now) => now === "Opening was stopped, and nothing has changed.", PATIENCE);
  await expect.poll(() => brokenOff, { timeout: 10_000 }).toBe(1);
  expect(await ask(visitor)).toBe(said);
  await fetchFrom(visitor, `${address}/held.safetensors`);
  await until("#opening-text", (now) => part.test(now), PATIENCE);
  letGo();
  await until("#speaker", (now) => now === "held.safetensors", PATIENCE);
  expect(await ask(visitor)).toBe(said);

  // The GPU is lost, and what was open is no longer to be had.
  withdrawn = true;
  await loseDevice();
  const gone = await until("#status", (now) => now.startsWith("The opened model could not"), PATIENCE);
  expect(gone).toMatch(/ read again after the GPU was lost\. .* answered 404 Not Found; check the address, .*\.$/);
  await until("#speaker", (now) => now === "No model yet");
  expect(await page.$eval("#generate", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
  await page.close();
});

test("a model that was opened outlives the device, with the state that was kept of it", {
  timeout: 2 * PATIENCE,
}, async () => {
  const visitor = await visit(demo);
  const { page, until, text, fill, enabled } = visitor;
  await upload(visitor, "rwkv.safetensors");
  await until("#speaker", (now) => now === "rwkv.safetensors", PATIENCE);
  const said = await ask(visitor);

  // Every way of sampling, and the seed, reach the model.
  const off = { "top-k": 0, "top-p": 1, "min-p": 0, repetition: 1, "talk-seed": 1 };
  const bold = await ask(visitor, { ...off, temperature: 1 });
  expect(bold).not.toBe(said);
  for (const narrow of [{ "top-k": 1 }, { "top-p": 0.01 }, { "min-p": 1 }])
    expect(await ask(visitor, { ...off, ...narrow, temperature: 1 }), JSON.stringify(narrow)).toBe(said);
  expect(await ask(visitor, { ...off, "talk-seed": 2, temperature: 1 })).not.toBe(bold);
  expect(await ask(visitor, { ...off, repetition: 3 })).not.toBe(said);
  expect(await ask(visitor, off)).toBe(said);

  await page.click("#keep-state");
  await until("#status", (now) => now.startsWith("The state after 13 tokens is kept"), PATIENCE);
  await fill("#length", "20000");
  await page.click("#generate");
  await until("#answer", (now) => now.length > 40, PATIENCE);
  await loseDevice();
  await until("#status", (now) => now === "The opened model is here again. Talk to it.", PATIENCE);
  expect((await text("#answer")).length).toBeGreaterThan(40);
  await page.waitForSelector("#keep-state:disabled"); // what it remembered of this answer is gone
  expect(await text("#branch-help")).toMatch(/the state that is kept after 13 tokens/);
  await fill("#length", "8");
  await enabled("#branch", PATIENCE);
  await page.click("#branch");
  await until("#branch-1", (now) => now.length === 8, PATIENCE);
  expect(await ask(visitor)).toBe(said);
  await page.click("#talk-now"); // it says Close
  await until("#speaker", (now) => now === "No model yet");
  await page.close();
});

test("a GPT-2 speaks with the tokenizer that comes or lies with it, or its own; its tokens are counted, and its text ends", {
  timeout: 2 * PATIENCE,
}, async () => {
  const visitor = await visit(demo);
  const { page, until, text } = visitor;
  await upload(visitor, "letters.safetensors");
  await until("#status", (now) => /^The model has 31 tokens and no tokenizer .*; choose its tokenizer\.json/.test(now));
  await upload(visitor, "letters.safetensors", "tokenizer.json");
  await until("#speaker", (now) => now === "letters.safetensors", PATIENCE);
  expect(await text("#length-help")).toBe("Tokens to write.");
  const said = await ask(visitor, { length: 100 });
  expect(await page.$$eval("#answer .token", (tokens) => tokens.length)).toBe(29); // after "wh", "al" and "e"
  expect(await text("#talk-grows")).toBe(
    "After 32 tokens the cache holds 16.0 KB; it grows with each up to 32, where the text has to end.",
  );
  await fetchFrom(visitor, `${address}/gpt2/model.safetensors`);
  await until("#speaker", (now) => now === "model.safetensors", PATIENCE);
  expect(await ask(visitor, { length: 100 })).toBe(said);
  await upload(visitor, "gpt2.safetensors");
  await until("#status", (now) => /^Opened gpt2\.safetensors: .* 50,257 different tokens/.test(now), PATIENCE);
  expect(await ask(visitor)).toMatch(/^whale/);
  expect(await page.$$eval("#answer .token", (tokens) => tokens.length)).toBe(8);
  expect(visitor.errors).toEqual([]);
  await page.close();
});

test.skipIf(shipped.length === 0)(
  "a visitor talks to a model that ships with the page, soon after arriving",
  {
    timeout: PATIENCE,
  },
  async () => {
    const { page, enabled, until, text, errors } = await visit(demo);
    await enabled("#talk-now");
    const offers = await page.$$eval("#starters li", (lines) => lines.map((line) => line.textContent ?? ""));
    expect(offers).toHaveLength(shipped.length);
    for (const offer of offers)
      expect(offer).toMatch(
        / on .*[\d,]+ parameters, [\d,]+ steps of [\d,]+ characters in .* on .*; held-out loss \d\.\d{3}\.$/,
      );
    await page.click("#talk-now");
    await until("#answer", (now) => now.length > 60);
    expect(offers[0]).toContain(await text("#speaker"));
    expect(await text("#answer")).toMatch(/^The whale [a-z]/);
    await page.click("#generate-stop");
    await page.waitForSelector("#generate-stop:disabled");
    expect(errors).toEqual([]);
    await page.close();
  },
);
