/** Calls and streams between threads: what arrives, what ends early, and how errors cross. */
import { expect, test } from "vitest";
import { DeviceLostError, FileError, GpuUnavailableError, ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { Answerer, type Method } from "../../src/worker/answerer.ts";
import { Caller } from "../../src/worker/caller.ts";
import { packError, unpackError } from "../../src/worker/errors.ts";

/** Both ends of a channel in this thread. */
function connected(methods: Readonly<Record<string, Method>>) {
  const { port1, port2 } = new MessageChannel();
  const lost: Error[] = [];
  const caller = new Caller(port1, (error) => lost.push(error));
  const answerer = new Answerer(port2, methods);
  return { caller, answerer, lost, close: () => port1.close() };
}

test.each([
  new ShapeError("a"),
  new ValueError("b"),
  new FileError("truncated", "c"),
  new GpuUnavailableError("no-adapter", "d"),
  new DeviceLostError("unknown", "e"),
  new RangeError("f"),
])("%s crosses with its class, sentence and fields", (error) => {
  const arrived = unpackError(structuredClone(packError(error)));
  expect({ ...arrived, name: arrived.name, message: arrived.message }).toEqual({
    ...error,
    name: error.name,
    message: error.message,
  });
  if (error.name !== "RangeError") expect(arrived).toBeInstanceOf(error.constructor);
});

test("a call is answered once; errors, notes, files and unknown methods too", async () => {
  const file = Uint8Array.of(1, 2, 3);
  const { caller, close } = connected({
    add: async ([a, b]: [number, number], { note }) => {
      note("adding");
      return a + b;
    },
    fail: async () => {
      throw new FileError("truncated", "the file ends early");
    },
    opaque: async () => () => 1,
    save: async () => file,
  });
  const notes: unknown[] = [];
  expect(await caller.call("add", [1, 2], { onNote: (note) => notes.push(note) })).toBe(3);
  expect(notes).toEqual(["adding"]);
  await expect(caller.call("fail", null)).rejects.toMatchObject({ name: "FileError", code: "truncated" });
  expect(await caller.call("save", null)).toEqual(Uint8Array.of(1, 2, 3));
  expect(file.length).toBe(0); // moved, not copied
  await expect(caller.call("constructor", null)).rejects.toThrow("no method constructor");
  await expect(caller.call("opaque", null)).rejects.toMatchObject({ name: "DataCloneError" });
  await expect(caller.call("add", () => 1)).rejects.toMatchObject({ name: "DataCloneError" });
  close();
});

async function all(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const value of stream) values.push(value);
  return values;
}

function counting() {
  const made: number[] = [];
  let ended = 0;
  const count: Method = async function* (limit: number, { signal }) {
    try {
      for (let i = 0; i < limit && !signal.aborted; i++) {
        made.push(i);
        yield i;
      }
    } finally {
      ended++;
    }
  };
  return { ...connected({ count }), made, ended: () => ended };
}

test("a stream makes each value when it is asked for", async () => {
  const { caller, made, ended, close } = counting();
  const stream = caller.stream("count", 3);
  expect(made).toEqual([]);
  expect(await stream.next()).toEqual({ done: false, value: 0 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(made).toEqual([0]);
  expect(await all(stream)).toEqual([1, 2]);
  expect(ended()).toBe(1);
  close();
});

test("leaving the loop ends the work before the loop is over", async () => {
  const { caller, made, ended, close } = counting();
  for await (const value of caller.stream("count", 1000)) if (value === 2) break;
  expect(made).toEqual([0, 1, 2]);
  expect(ended()).toBe(1);
  close();
});

test("an abort ends a stream, also one that comes before it starts", async () => {
  const { caller, close } = counting();
  const abort = new AbortController();
  const values: unknown[] = [];
  for await (const value of caller.stream("count", 1000, { signal: abort.signal })) {
    values.push(value);
    if (values.length === 2) abort.abort();
  }
  expect(values).toEqual([0, 1]);
  expect((await all(caller.stream("count", 1000, { signal: AbortSignal.abort() }))).length).toBeLessThan(2);
  close();
});

test("when the other end is gone every call rejects, and so do later ones", async () => {
  const { caller, lost, answerer, close } = connected({ wait: () => new Promise(() => {}) });
  const call = caller.call("wait", null);
  caller.fail(new ValueError("gone"));
  await expect(call).rejects.toThrow("gone");
  await expect(caller.call("wait", null)).rejects.toThrow("gone");
  answerer.post({ kind: "lost", error: packError(new DeviceLostError("unknown", "crashed")) });
  await expect.poll(() => lost).toEqual([expect.objectContaining({ name: "DeviceLostError", reason: "unknown" })]);
  close();
});
