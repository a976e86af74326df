/** Trained models in the demo: those that ship with it, from files, from addresses. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { type Demo, startDemo, visit } from "../support/demo.ts";

/** Emulated GPUs share two cores with other tests. */
const PATIENCE = 120_000;
const STARTER = join(import.meta.dirname, "../../demo/starters/lstm.safetensors");

let demo: Demo;
let folder: string;
let server: Server;
let origin: string;
/** A stranger's site: a page, a model without a tokenizer, and one that takes its time. */
beforeAll(async () => {
  demo = await startDemo();
  folder = await mkdtemp(join(tmpdir(), "ostinato-open-"));
  const file = await readFile(STARTER);
  server = createServer((request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    if (request.url === "/slow.safetensors") {
      response.setHeader("Content-Length", file.length);
      response.write(file.subarray(0, file.length >> 1)); // the rest never comes
    } else if (request.url === "/model.safetensors") response.end(file);
    else
      response
        .writeHead(request.url === "/page.safetensors" ? 200 : 404, { "Content-Type": "text/html" })
        .end("<!doctype html>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, PATIENCE);
afterAll(async () => {
  await demo?.close();
  server?.closeAllConnections();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

test("models are opened from the page, from an address and from a file, and answer; what fails changes nothing", {
  timeout: 3 * PATIENCE,
}, async () => {
  const { page, until, text, fill, enabled, errors } = await visit(demo);
  await enabled("#talk-now", PATIENCE);
  await fill("#length", "24");
  // From nothing to an answer in one press.
  await page.click("#talk-now");
  await until("#speaker", (now) => now === "LSTM on Moby Dick", PATIENCE);
  await until("#answer", (now) => /^The whale [\s\S]{20,}/.test(now), PATIENCE);
  await page.waitForSelector("#generate-stop:disabled", { timeout: PATIENCE });
  expect(await page.$$eval("#starters li", (items) => items.map((item) => item.textContent))).toEqual([
    expect.stringMatching(/^LSTM on Moby Dick[\d,]+ parameters, [\d,]+ steps in .* held-out loss [\d.]+\.$/),
    expect.stringMatching(/^RWKV-7 on Moby Dick/),
  ]);

  const openAt = async (path: string) => {
    await fill("#open-address", `${origin}/${path}`);
    await page.click("#open-fetch");
  };
  await openAt("page.safetensors");
  expect(await until("#status", (now) => /web page/.test(now), PATIENCE)).toMatch(/page\.safetensors/);
  await openAt("none.safetensors");
  await until("#status", (now) => /answered 404/.test(now), PATIENCE);
  await openAt("slow.safetensors");
  await until("#opening-text", (now) => /^[\d.]+ [KM]?B of [\d.]+ [KM]?B read/.test(now), PATIENCE);
  await page.click("#opening-stop");
  await until("#status", (now) => /opening was stopped/i.test(now), PATIENCE);
  expect(await text("#speaker")).toBe("LSTM on Moby Dick");
  await openAt("model.safetensors");
  await until("#speaker", (now) => now === "model.safetensors", PATIENCE);
  await page.click("#talk-now"); // it says Close
  await until("#speaker", (now) => now !== "model.safetensors", PATIENCE);

  // The same weights under no name of this engine, and with no tokenizer.
  const { tensors } = parseSafetensors(new Uint8Array(await readFile(STARTER)));
  const foreign = join(folder, "foreign.safetensors");
  const renamed = [...tensors].map(
    ([name, entry]) => [`net.${name}`, { shape: entry.shape, data: toFloat32(entry, name) }] as const,
  );
  await writeFile(foreign, writeSafetensors(renamed));
  await (await page.$("input#open-files"))?.uploadFile(foreign);
  await until("#status", (now) => /^(?!Opened).*net\./s.test(now), PATIENCE);
  await (await page.$("input#load-file"))?.uploadFile(STARTER);
  await until("#speaker", (now) => now === "lstm.safetensors", PATIENCE);
  expect(errors.filter((error) => !/404/.test(error))).toEqual([]);
  await page.close();
});
