import { expect, test } from "vitest";
import { toFloat32, toInt32, toUint32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { type WriteTensor, writeSafetensors } from "../../src/io/write.ts";
import { narrowBfloat, narrowHalf, widenBfloat, widenHalf } from "../../src/tensor/half.ts";

const sample: [string, WriteTensor][] = [
  ["flags", { shape: [3], data: new Uint8Array([1, 0, 1]), dtype: "BOOL" }],
  ["rnn.weight", { shape: [2, 2], data: new Float32Array([1, -0, Number.NaN, 1e-40]) }],
  ["half", { shape: [3], data: new Float32Array([1, 70000, 2 ** -24]), dtype: "F16" }],
  ["brain", { shape: [2], data: new Float32Array([1, 3e38]), dtype: "BF16" }],
  ["ids", { shape: [], data: new Int32Array([-7]) }],
  ["__proto__", { shape: [1], data: new Uint32Array([2 ** 32 - 1]) }],
  ["0", { shape: [0, 4], data: new Float32Array(0) }],
];

test("what is written reads back", () => {
  const { tensors, metadata } = parseSafetensors(writeSafetensors(sample, { step: "12", note: "é" }));
  const get = (name: string) => tensors.get(name) as FileTensor;
  expect(metadata).toEqual({ step: "12", note: "é" });
  expect(new Set(tensors.keys())).toEqual(new Set(sample.map(([name]) => name)));
  expect(get("rnn.weight").shape).toEqual([2, 2]);
  expect(toFloat32(get("rnn.weight"), "w")).toEqual(sample[1]?.[1].data);
  expect([...toFloat32(get("half"), "h")]).toEqual([1, Number.POSITIVE_INFINITY, 2 ** -24]);
  expect(get("half").dtype).toBe("F16");
  expect(toFloat32(get("brain"), "b")[1]).toBeCloseTo(3e38, -36);
  expect([...toInt32(get("ids"), "i")]).toEqual([-7]);
  expect([...toUint32(get("__proto__"), "p")]).toEqual([2 ** 32 - 1]);
  expect([...toInt32(get("flags"), "f")]).toEqual([1, 0, 1]);
  expect(get("0").shape).toEqual([0, 4]);
});

test("equal input gives equal bytes, and every tensor is aligned", () => {
  const file = writeSafetensors(sample, { a: "b" });
  expect(writeSafetensors(sample, { a: "b" })).toEqual(file);
  expect(new DataView(file.buffer).getUint32(0, true) % 8).toBe(0);
  for (const { dtype, data } of parseSafetensors(file).tensors.values()) {
    const size = dtype === "BOOL" ? 1 : dtype.endsWith("16") ? 2 : 4;
    expect(data.byteOffset % size).toBe(0);
  }
});

test("a view writes only its own part", () => {
  const data = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
  const { tensors } = parseSafetensors(writeSafetensors([["a", { shape: [2], data }]]));
  expect([...toFloat32(tensors.get("a") as FileTensor, "a")]).toEqual([1, 2]);
});

test("names and sizes that cannot be written are errors", () => {
  const one: WriteTensor = { shape: [1], data: new Float32Array(1) };
  const write =
    (...tensors: [string, WriteTensor][]) =>
    () =>
      writeSafetensors(tensors);
  expect(write(["a", one], ["a", one])).toThrow('the name "a" is taken');
  expect(write(["__metadata__", one])).toThrow("is taken");
  expect(write(["a", { ...one, shape: [2] }])).toThrow('tensor "a" has shape [2], which is 2 elements, but 1 values');
  expect(write(["a", { ...one, dtype: "I64" }])).toThrow("cannot store F32 values as I64");
});

test("halves survive the way there and back", () => {
  for (const [widen, narrow, infinity] of [
    [widenHalf, narrowHalf, 0x7c00],
    [widenBfloat, narrowBfloat, 0x7f80],
  ] as const) {
    // Every bit pattern but NaNs, whose payload may change.
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => (bits & 0x7fff) <= infinity);
    const back = narrow(widen(all));
    expect(all.findIndex((bits, i) => bits !== back[i])).toBe(-1);
    const nans = Uint16Array.from([infinity + 1, infinity + 0x8001, 0x7fff]);
    expect([...widen(narrow(widen(nans)))]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  }
});

test("narrowing rounds to the nearest, ties to even", () => {
  // For each pair of neighbours: the middle goes to the even one, either side of it to the nearer one.
  for (const [widen, narrow, largest] of [
    [widenHalf, narrowHalf, 0x7bff],
    [widenBfloat, narrowBfloat, 0x7f7f],
  ] as const) {
    const float = new Float32Array(1);
    const bits = new Uint32Array(float.buffer);
    for (let low = 0; low < largest; low++) {
      const [a, b] = widen(Uint16Array.from([low, low + 1])) as unknown as [number, number];
      float[0] = (a + b) / 2;
      const middle = bits[0] as number;
      const around = Float32Array.from([middle - 1, middle, middle + 1], (pattern) => {
        bits[0] = pattern;
        return float[0] as number;
      });
      const wanted = [low, low + (low & 1), low + 1];
      const got = narrow(around);
      if (wanted.some((value, i) => value !== got[i])) expect({ low, got: [...got] }).toEqual({ low, got: wanted });
    }
  }
  expect([...narrowHalf(Float32Array.from([65519.996, 65520, -65520, 1e9]))]).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00]);
  expect([...narrowBfloat(Float32Array.from([3.4e38, -3.4e38]))]).toEqual([0x7f80, 0xff80]);
});
