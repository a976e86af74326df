import { afterEach, describe, expect, test, vi } from "vitest";
import { LimitError } from "../../src/gpu/errors.ts";
import { FileReading, type Progress, readAll } from "../../src/io/reader.ts";
import { streamOf } from "../support/stream.ts";

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
afterEach(() => vi.unstubAllGlobals());

describe("a file is the same from every source", () => {
  test("bytes, uncopied", async () => {
    expect(await readAll(bytes)).toEqual(bytes);
    expect((await readAll(bytes)).buffer).toBe(bytes.buffer);
    expect(await readAll(bytes.buffer)).toEqual(bytes);
  });

  test("a Blob, an answer of any chunks with or without its length, and an address", async () => {
    expect(await readAll(new Blob([bytes]))).toEqual(bytes);
    for (const chunk of [1, 7, 999, 1000]) {
      for (const length of [undefined, 1000]) expect(await readAll(streamOf(bytes, { chunk, length }))).toEqual(bytes);
    }
    const address = URL.createObjectURL(new Blob([bytes]));
    expect(await readAll(address)).toEqual(bytes);
    expect(await readAll(new URL(address))).toEqual(bytes);
  });

  test("a compressed answer, whose announced length is another", async () => {
    expect(await readAll(streamOf(bytes, { chunk: 100, length: 300 }))).toEqual(bytes);
  });

  test("nothing at all", async () => {
    expect(await readAll(new Response(null, { status: 204 }))).toHaveLength(0);
    expect(await readAll(new Blob([]))).toHaveLength(0);
  });
});

test("the head comes first, and closing ends the download", async () => {
  let cancelled = false;
  const file = await FileReading.open(streamOf(bytes, { chunk: 100, onCancel: () => (cancelled = true) }));
  expect(await file.head(150)).toEqual(bytes.subarray(0, 150));
  expect(file.size).toBeNull();
  file.close();
  await Promise.resolve();
  expect(cancelled).toBe(true);
  const short = await FileReading.open(new Blob([bytes]));
  expect(await short.head(5000)).toEqual(bytes);
  expect(short.size).toBe(1000);
});

test("progress goes from nothing to everything, in steps of about 128 KiB", async () => {
  const large = new Uint8Array(600_000).fill(65);
  for (const length of [undefined, large.length]) {
    const seen: Progress[] = [];
    await readAll(streamOf(large, { chunk: 10_000, length }), { onProgress: (progress) => seen.push(progress) });
    expect(seen[0]).toEqual({ loaded: 0, total: length ?? null });
    expect(seen.at(-1)).toEqual({ loaded: 600_000, total: length ?? null });
    expect(seen.map(({ loaded }) => loaded)).toEqual([0, 140_000, 280_000, 420_000, 560_000, 600_000]);
  }
});

describe("what is no file is refused in one sentence", () => {
  const refused = (source: Parameters<typeof readAll>[0]) => expect(readAll(source)).rejects;

  test("an error status", async () => {
    await refused(new Response("gone", { status: 404, statusText: "Not Found" })).toMatchObject({
      code: "fetch",
      message: "open: the answer answered 404 Not Found; check the address, and whether it needs a login",
    });
  });

  test("an address that cannot be fetched, in a program for the reason that it is told and in a page for any", async () => {
    const address = "https://nowhere.example/model.pth";
    const cause = new Error("connect ECONNREFUSED 127.0.0.1:443");
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed", { cause })));
    const why = `open: ${address} cannot be fetched (${cause.message}); check the address and the network`;
    await refused(address).toMatchObject({ code: "fetch", message: why });
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    vi.stubGlobal("origin", "https://page.example");
    await refused(address).toMatchObject({ message: expect.stringMatching(/\(Failed to fetch\); check .*\(CORS\)$/) });
  });

  test("a web page, by its type or by its first bytes", async () => {
    const page = "\n<!DOCTYPE html><html><body>Sign in</body></html>";
    await refused(new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } })).toMatchObject({
      code: "html-page",
    });
    await refused(new Blob([page])).toMatchObject({ code: "html-page" });
    expect(await readAll(new Blob(["<b>no page</b>"]))).toHaveLength(14);
  });

  test("a download that ends early or breaks off", async () => {
    await refused(streamOf(bytes, { chunk: 100, length: 1200 })).toMatchObject({
      code: "truncated",
      message: "open: the answer ended after 1000 of 1200 bytes; load it again",
    });
    await refused(streamOf(bytes, { chunk: 100, length: 1000, breakAt: 300 })).toMatchObject({
      code: "truncated",
      message: "open: the answer broke off after 300 of 1000 bytes (connection reset); load it again",
    });
  });

  test("a file that does not fit into memory", async () => {
    await refused(streamOf(bytes, { chunk: 100, length: 2 ** 52 })).toThrow(LimitError);
  });
});

describe("an abort rejects with its reason", () => {
  test("before the start", async () => {
    const fetched = vi.fn();
    vi.stubGlobal("fetch", fetched);
    await expect(readAll("https://somewhere.example", { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    expect(fetched).not.toHaveBeenCalled();
  });

  test("while the next bytes are waited for, and lets go of the download", async () => {
    let cancelled = false;
    const abort = new AbortController();
    const source = streamOf(bytes, { chunk: 100, stallAt: 500, onCancel: () => (cancelled = true) });
    const reading = readAll(source, {
      signal: abort.signal,
      onProgress: () => setTimeout(() => abort.abort(new Error("enough")), 10),
    });
    await expect(reading).rejects.toThrow("enough");
    expect(cancelled).toBe(true);
  });
});
