/** What the demo keeps in the browser: replaced as a whole or not at all. */
import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import type { LoadReport } from "../../demo/protocol.ts";
import { notKeptSentence, Store } from "../../demo/worker/store.ts";
import type { SavedSession } from "../../src/generate/session.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const report = (id: string, step: number): LoadReport =>
  ({ id, step, history: { points: [], heldOut: [], samples: [] } }) as unknown as LoadReport;
const alone = { text: null, state: null };
const file = (byte: number) => new Uint8Array(64).fill(byte);

test("a run is replaced by its newer checkpoint, keeps its place, text, state and name, and can be forgotten", async () => {
  const store = new Store();
  const values = { shape: [2], values: Float32Array.of(0.5, -1) };
  const state = { model: new Map([["hidden", values]]), sampler: {}, position: 17 } as unknown as SavedSession;
  await store.put(report("a", 10), file(1), { text: "a text of my own", state });
  await store.put(report("b", 5), file(2), alone);
  await store.put(report("a", 20), file(3), { text: "a text of my own", state });
  expect((await store.list()).map(({ id, step }) => [id, step])).toEqual([
    ["a", 20],
    ["b", 5],
  ]);
  // Another page, or the same after a reload.
  const again = await new Store().get("a");
  expect([again.kept.step, again.file[0], again.text]).toEqual([20, 3, "a text of my own"]);
  expect(again.state).toEqual(state);
  await store.rename("a", "mine");
  await store.rename("unknown", "nobody's");
  expect((await store.list()).map(({ id, name }) => [id, name])).toEqual([
    ["a", "mine"],
    ["b", undefined],
  ]);
  await store.remove("a");
  await expect(store.get("a")).rejects.toThrow(/does not keep it any more/);
  expect((await store.get("b")).file[0]).toBe(2);
  await store.remove("b");
});

test("a save that breaks off at any point leaves the older checkpoint whole", async () => {
  const store = new Store();
  await store.put(report("a", 10), file(1), alone);
  for (const method of ["put", "delete"] as const) {
    vi.spyOn(IDBObjectStore.prototype, method).mockImplementationOnce(() => {
      throw new DOMException("the disk is full", "QuotaExceededError");
    });
    await expect(store.put(report("a", 20), file(2), alone), method).rejects.toThrow(/disk is full/);
    const { kept, file: bytes } = await store.get("a");
    expect([kept.step, bytes[0]], method).toEqual([10, 1]);
  }
  await store.put(report("a", 20), file(2), alone);
  const files = await new Promise((resolve) => {
    indexedDB.open("ostinato").onsuccess = function () {
      const { result } = this as IDBOpenDBRequest;
      result.transaction("files").objectStore("files").count().onsuccess = function () {
        resolve((this as IDBRequest).result);
      };
    };
  });
  expect(files).toBe(1);
});

test("a refusal of the storage becomes one sentence with a way on", () => {
  expect(notKeptSentence(new DOMException("whatever", "QuotaExceededError"))).toBe(
    "The browser's storage for this page is full and does not keep what this run learns; Save gives it as a file, and removing older runs makes room.",
  );
  expect(notKeptSentence(new Error("Access is denied."))).toMatch(
    /^The browser does not keep this run \(Access is denied\); Save gives it as a file\.$/,
  );
});
