/** What the demo keeps in the browser: replaced as a whole or not at all. */
import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import type { LoadReport } from "../../demo/protocol.ts";
import { notKeptSentence, Store } from "../../demo/worker/store.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const report = (id: string, step: number): LoadReport =>
  ({ id, step, history: { points: [], heldOut: [], samples: [] } }) as unknown as LoadReport;
const file = (byte: number) => new Uint8Array(64).fill(byte);

test("a run is replaced by its newer checkpoint, keeps its place and its text, and can be forgotten", async () => {
  const store = new Store();
  await store.put(report("a", 10), file(1), "a text of my own");
  await store.put(report("b", 5), file(2), null);
  await store.put(report("a", 20), file(3), "a text of my own");
  expect((await store.list()).map(({ id, step }) => [id, step])).toEqual([
    ["a", 20],
    ["b", 5],
  ]);
  // Another page, or the same after a reload.
  const again = await new Store().get("a");
  expect([again.kept.step, again.file[0], again.text]).toEqual([20, 3, "a text of my own"]);
  await store.remove("a");
  await expect(store.get("a")).rejects.toThrow(/does not keep it any more/);
  expect((await store.get("b")).file[0]).toBe(2);
  await store.remove("b");
});

test("a save that breaks off at any point leaves the older checkpoint whole", async () => {
  const store = new Store();
  await store.put(report("a", 10), file(1), null);
  for (const method of ["put", "delete"] as const) {
    vi.spyOn(IDBObjectStore.prototype, method).mockImplementationOnce(() => {
      throw new DOMException("the disk is full", "QuotaExceededError");
    });
    await expect(store.put(report("a", 20), file(2), null), method).rejects.toThrow(/disk is full/);
    const { kept, file: bytes } = await store.get("a");
    expect([kept.step, bytes[0]], method).toEqual([10, 1]);
  }
  await store.put(report("a", 20), file(2), null);
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
    "The browser's storage for this page is full, so this run is not kept there. Remove older runs to make room. Save still gives it as a file.",
  );
  expect(notKeptSentence(new Error("Access is denied."))).toMatch(
    /^The browser does not keep this run \(Access is denied\)\. Save still/,
  );
});
