import { describe, expect, test } from "vitest";
import { toFloat32, toInt32, toUint32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { fileErrorOf } from "../support/files.ts";

/** A file of a header text (or bytes), data bytes and, for the malformed ones, a length field of its own. */
function file(
  header: string | Uint8Array,
  dataBytes: number | Uint8Array = 0,
  length?: bigint,
): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const data = typeof dataBytes === "number" ? new Uint8Array(dataBytes).map((_, i) => i + 1) : dataBytes;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

const F = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
const entry = (fields: string) => `{"a":{"dtype":"F32",${fields}}}`;
const withSecond = (offsets: string) => `${F.slice(0, -1)},"b":{"dtype":"F32","shape":[2],"data_offsets":${offsets}}}`;

describe("accepted files", () => {
  const accepted: [what: string, header: string, dataBytes: number, shapes: Record<string, number[]>][] = [
    ["one tensor", F, 8, { a: [2] }],
    ["trailing spaces", `${F}   `, 8, { a: [2] }],
    ["leading spaces", `  ${F}`, 8, { a: [2] }],
    ["a scalar", entry('"shape":[],"data_offsets":[0,4]'), 4, { a: [] }],
    ["an empty tensor", entry('"shape":[0],"data_offsets":[0,0]'), 0, { a: [0] }],
    ["no tensors", "{}", 0, {}],
    ["metadata", `{"__metadata__":{"k":"v"},${F.slice(1)}`, 8, { a: [2] }],
    [
      "entries out of offset order",
      `{"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},${F.slice(1)}`,
      12,
      { b: [1], a: [2] },
    ],
    ["the name __proto__", F.replace('"a"', '"__proto__"'), 8, { ["__proto__"]: [2] }],
    ["the name constructor", F.replace('"a"', '"constructor"'), 8, { constructor: [2] }],
    ["an empty name", F.replace('"a"', '""'), 8, { "": [2] }],
    ["a string that looks like a key", F.replace('"a"', '"\\"a\\":{"'), 8, { '"a":{': [2] }],
  ];
  for (const [what, header, dataBytes, shapes] of accepted) {
    test(what, () => {
      const { tensors } = parseSafetensors(file(header, dataBytes));
      expect([...tensors].map(([name, { shape }]) => [name, shape])).toEqual(Object.entries(shapes));
    });
  }

  test("metadata comes back", () => {
    const { metadata } = parseSafetensors(file(`{"__metadata__":{"k":"v","__proto__":"w"}}`));
    expect(Object.entries(metadata)).toEqual([
      ["k", "v"],
      ["__proto__", "w"],
    ]);
  });

  test("data are views of the file, from an ArrayBuffer too", () => {
    const bytes = file(F, 8);
    expect(parseSafetensors(bytes).tensors.get("a")?.data.buffer).toBe(bytes.buffer);
    expect([...(parseSafetensors(bytes.buffer).tensors.get("a")?.data ?? [])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("a file that is itself a view at an odd offset", () => {
    const bytes = file(F, new Uint8Array(new Float32Array([1.5, -2]).buffer));
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const { tensors } = parseSafetensors(shifted.subarray(3));
    expect([...toFloat32(tensors.get("a") as FileTensor, "a")]).toEqual([1.5, -2]);
  });
});

describe("refused files", () => {
  const refused: [what: string, bytes: () => Uint8Array<ArrayBuffer>, code: string][] = [
    ["0 bytes", () => new Uint8Array(0), "empty-file"],
    ["7 bytes", () => new Uint8Array(7), "file-too-short"],
    ["length 2^63", () => file(F, 8, 2n ** 63n), "header-length-overflow"],
    ["length 100,000,001", () => file(F, 8, 100_000_001n), "header-too-large"],
    ["length past the end", () => file(F, 8, BigInt(F.length + 9)), "header-past-end"],
    ["invalid UTF-8", () => file(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), "header-not-utf8"],
    ["not JSON", () => file("{not json}"), "header-not-json"],
    ["a byte order mark", () => file(`\uFEFF${F}`, 8), "header-not-json"],
    ["an empty header", () => file(""), "header-not-json"],
    ["a JSON array", () => file("[]"), "header-not-object"],
    ["JSON null", () => file("null"), "header-not-object"],
    ["a short file", () => file(F, 7), "data-too-short"],
    ["a trailing byte", () => file(F, 9), "trailing-bytes"],
    ["data without tensors", () => file("{}", 1), "trailing-bytes"],
    ["reversed offsets", () => file(F.replace("[0,8]", "[8,0]"), 8), "offsets-reversed"],
    ["negative offsets", () => file(F.replace("[0,8]", "[-8,0]"), 8), "offset-negative"],
    ["text offsets", () => file(F.replace("[0,8]", '["0","8"]'), 8), "offset-not-number"],
    ["fractional offsets", () => file(F.replace("[0,8]", "[0.5,8.5]"), 8), "offset-not-integer"],
    ["three offsets", () => file(F.replace("[0,8]", "[0,8,8]"), 8), "offsets-not-pair"],
    ["overlapping tensors", () => file(withSecond("[4,12]"), 12), "overlap"],
    ["two tensors at one place", () => file(withSecond("[0,8]"), 8), "overlap"],
    ["a hole", () => file(withSecond("[12,20]"), 20), "hole"],
    ["a hole at the start", () => file(F.replace("[0,8]", "[4,12]"), 12), "hole"],
    ["a shape of other size", () => file(F.replace("[2]", "[3]"), 8), "size-mismatch"],
    ["a negative size", () => file(F.replace("[2]", "[-2]"), 8), "shape-negative"],
    ["a product over 2^53", () => file(F.replace("[2]", "[4294967296,4294967296]"), 8), "size-overflow"],
    ["a size over 2^53", () => file(F.replace("[2]", "[9007199254740993]"), 8), "shape-too-large"],
    ["a fractional size", () => file(F.replace("[2]", "[2.5]"), 8), "shape-not-integer"],
    ["a text size", () => file(F.replace("[2]", '["2"]'), 8), "shape-not-integer"],
    ["a shape that is no list", () => file(F.replace("[2]", "2"), 8), "shape-not-array"],
    ["an unknown dtype", () => file(F.replace("F32", "F12"), 8), "dtype-unknown"],
    ["a dtype of Object.prototype", () => file(F.replace("F32", "toString"), 8), "dtype-unknown"],
    ["a name twice", () => file(`${F.slice(0, -1)},${F.slice(1)}`, 8), "duplicate-name"],
    [
      "a name twice, once escaped",
      () => file(`${F.slice(0, -1)},${F.slice(1).replace('"a"', '"\\u0061"')}`, 8),
      "duplicate-name",
    ],
    ["a field twice", () => file(entry('"dtype" :"F16","shape":[2],"data_offsets":[0,8]'), 8), "duplicate-name"],
    ["metadata with a number", () => file(`{"__metadata__":{"k":1},${F.slice(1)}`, 8), "metadata-not-string"],
    ["metadata that is text", () => file(`{"__metadata__":"v",${F.slice(1)}`, 8), "metadata-not-object"],
    ["an entry without shape", () => file(entry('"data_offsets":[0,8]'), 8), "entry-incomplete"],
    ["an entry that is a number", () => file('{"a":1}'), "entry-not-object"],
  ];
  for (const [what, bytes, code] of refused) {
    test(`${what}: ${code}`, () => expect(fileErrorOf(() => parseSafetensors(bytes()))).toBe(code));
  }

  test("lists nested beyond any stack: entry-not-object", () => {
    const deep = `{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`;
    expect(fileErrorOf(() => parseSafetensors(file(deep)))).toBe("entry-not-object");
  }, 30_000);

  test("the message names tensor, values and cause", () => {
    expect(() => parseSafetensors(file(F.replace("[2]", "[3]"), 8))).toThrow(
      'safetensors: tensor "a" of F32 [3] needs 12 bytes, but its offsets span 8',
    );
  });
});

describe("conversion", () => {
  const tensor = (dtype: FileTensor["dtype"], bytes: number[]): FileTensor => {
    const odd = new Uint8Array(bytes.length + 1);
    odd.set(bytes, 1);
    return { dtype, shape: [], data: odd.subarray(1) };
  };

  test("an F32 tensor behind a header of 85 bytes", () => {
    const bytes = file(F.padEnd(85), new Uint8Array(new Float32Array([0.1, -3e38]).buffer));
    const values = toFloat32(parseSafetensors(bytes).tensors.get("a") as FileTensor, "a");
    expect(values).toEqual(new Float32Array([0.1, -3e38]));
  });

  test("BF16 and F16 bytes", () => {
    const widen = (dtype: "F16" | "BF16", bytes: number[]) => toFloat32(tensor(dtype, bytes), "x")[0];
    expect(widen("BF16", [0xc0, 0x3f])).toBe(1.5);
    expect(widen("BF16", [0x80, 0xff])).toBe(Number.NEGATIVE_INFINITY);
    expect(widen("BF16", [0x01, 0x00])).toBe(2 ** -133);
    expect(widen("F16", [0x01, 0x3c])).toBe(1.0009765625);
    expect(widen("F16", [0x01, 0x00])).toBe(2 ** -24);
    expect(widen("F16", [0xff, 0x7b])).toBe(65504);
    expect(widen("F16", [0x00, 0x7c])).toBe(Number.POSITIVE_INFINITY);
    expect(widen("F16", [0x00, 0x80])).toBe(-0);
  });

  test("I64 as a weight is an error that names tensor and dtype", () => {
    const weights = tensor("I64", [1, 0, 0, 0, 0, 0, 0, 0]);
    expect(fileErrorOf(() => toFloat32(weights, "rnn.weight_ih_l0"))).toBe("dtype-not-float");
    expect(() => toFloat32(weights, "rnn.weight_ih_l0")).toThrow('tensor "rnn.weight_ih_l0" is I64');
  });

  test("integers of every width", () => {
    expect([...toInt32(tensor("I64", [254, 255, 255, 255, 255, 255, 255, 255]), "x")]).toEqual([-2]);
    expect([...toInt32(tensor("I16", [254, 255, 1, 1]), "x")]).toEqual([-2, 257]);
    expect([...toInt32(tensor("BOOL", [1, 0]), "x")]).toEqual([1, 0]);
    expect([...toUint32(tensor("U32", [255, 255, 255, 255]), "x")]).toEqual([2 ** 32 - 1]);
    expect([...toUint32(tensor("U64", [7, 0, 0, 0, 0, 0, 0, 0]), "x")]).toEqual([7]);
  });

  test("integers out of range and floats are errors", () => {
    expect(fileErrorOf(() => toInt32(tensor("U32", [0, 0, 0, 128]), "x"))).toBe("integer-range");
    expect(fileErrorOf(() => toInt32(tensor("I64", [0, 0, 0, 0, 1, 0, 0, 0]), "x"))).toBe("integer-range");
    expect(fileErrorOf(() => toUint32(tensor("I8", [255]), "x"))).toBe("integer-range");
    expect(fileErrorOf(() => toInt32(tensor("F32", [0, 0, 0, 0]), "x"))).toBe("dtype-not-integer");
  });
});
