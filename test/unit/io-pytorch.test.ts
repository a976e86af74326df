import { describe, expect, it, vi } from "vitest";
import { toFloat32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { crc32 } from "../../src/io/pytorch/crc.ts";
import { readPickle } from "../../src/io/pytorch/pickle.ts";
import { parsePyTorch, parsePyTorchHead } from "../../src/io/pytorch/read.ts";
import { torchHooks } from "../../src/io/pytorch/storage.ts";
import { fileErrorOf, readFile } from "../support/files.ts";
import { crc32 as bitwise, torchFile, zipOf } from "../support/torch.ts";

/** Thousands of files are read, on machines that may be busy. */
vi.setConfig({ testTimeout: 30_000 });

const fixture = (name: string) => readFile(`test/fixtures/torch/${name}`);

const floats = (tensors: ReadonlyMap<string, FileTensor>, name: string) => [
  ...toFloat32(tensors.get(name) as FileTensor, name),
];

describe("files of PyTorch 1.13", () => {
  it("gives every dtype, stride and shared storage its values", async () => {
    const { tensors } = parsePyTorch(await fixture("pth_state.pth"));
    const values = [0, 0.25, 0.5, 0.75, 1, 1.25];
    for (const name of ["f32", "f16", "bf16"]) {
      expect(tensors.get(name)?.dtype).toBe(name.toUpperCase());
      expect(floats(tensors, name)).toEqual(values);
    }
    expect(tensors.get("transposed")?.shape).toEqual([3, 2]);
    expect(floats(tensors, "transposed")).toEqual([0, 0.75, 0.25, 1, 0.5, 1.25]);
    expect(floats(tensors, "column")).toEqual([0.25, 1]);
    expect(floats(tensors, "shared")).toEqual([0.75, 1, 1.25]);
    expect(floats(tensors, "scalar")).toEqual([2.5]);
    expect(tensors.get("empty")).toMatchObject({ shape: [0, 4], dtype: "F32" });
    expect(floats(tensors, "parameter")).toEqual([1, 1]);
    const { data } = tensors.get("i64") as FileTensor;
    expect([...new BigInt64Array(data.slice().buffer)]).toEqual([-1n, 2n ** 40n]);
    expect([...(tensors.get("flags") as FileTensor).data]).toEqual([1, 0]);
  });

  it("tells names, dtypes and shapes from its begin, before the data", async () => {
    for (const name of ["pth_state", "pth_nested"]) {
      const file = await fixture(`${name}.pth`);
      const { tensors } = parsePyTorch(file);
      const long = Array.from({ length: file.length }, (_, bytes) => parsePyTorchHead(file.slice(0, bytes)));
      const first = long.findIndex((head) => head !== null);
      expect(first).toBeLessThan(file.length / 2);
      for (const head of long.slice(first)) {
        const found = [...(head ?? [])].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
        expect(found).toEqual([...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape })));
      }
    }
    expect(parsePyTorchHead(await fixture("pth_legacy.pth"))).toBeNull();
  });

  it("names what lies in dictionaries and lists by its path", async () => {
    const { tensors, values } = parsePyTorch(await fixture("pth_nested.pth"));
    expect(floats(tensors, "model.column")).toEqual([0.25, 1]);
    expect(floats(tensors, "layers.0")).toEqual([1]);
    expect(Object.fromEntries(values)).toEqual({ "size.0": 2, "size.1": 3, epoch: 3, lr: 0.5, note: "ü", none: null });
  });

  it("refuses the format before 1.6 and says how to save again", async () => {
    const legacy = await fixture("pth_legacy.pth");
    expect(fileErrorOf(() => parsePyTorch(legacy))).toBe("pytorch-legacy");
    expect(() => parsePyTorch(legacy)).toThrow("torch.save(torch.load(path), path)");
  });
});

describe("damaged files", () => {
  it("end in a FileError wherever they are cut", async () => {
    const file = await fixture("pth_state.pth");
    for (let length = 0; length < file.length; length += 7)
      expect(fileErrorOf(() => parsePyTorch(file.slice(0, length)))).not.toBe("none");
  });

  it("end in a FileError or in tensors, whichever bit flips", async () => {
    const file = await fixture("pth_state.pth");
    for (let bit = 0; bit < 8 * file.length; bit += 13) {
      const flipped = file.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      fileErrorOf(() => {
        for (const { data } of parsePyTorch(flipped).tensors.values()) expect(data.length).toBeLessThan(file.length);
      });
    }
  });

  it("are refused when compressed or encrypted", async () => {
    const file = await fixture("pth_state.pth");
    const view = new DataView(file.buffer, file.byteOffset);
    const entry = find(file, "PK\x01\x02");
    view.setUint16(entry + 10, 8, true);
    expect(fileErrorOf(() => parsePyTorch(file))).toBe("zip-compressed");
    view.setUint16(entry + 10, 0, true);
    view.setUint16(entry + 8, 1, true);
    expect(fileErrorOf(() => parsePyTorch(file))).toBe("zip-encrypted");
  });
});

describe("zip archives of other origin", () => {
  it("are refused with a big-endian byte order, and read with the other", () => {
    const empty = ["a/data.pkl", "\x80\x02}."] as const;
    expect(parsePyTorch(zipOf([empty, ["a/byteorder", "little"]])).tensors.size).toBe(0);
    expect(fileErrorOf(() => parsePyTorch(zipOf([empty, ["a/byteorder", "big"]])))).toBe("pytorch-byteorder");
  });

  it("are refused without a pickle, with a record twice, and with containers that multiply", () => {
    expect(fileErrorOf(() => parsePyTorch(zipOf([["a/readme", ""]])))).toBe("pytorch-foreign");
    expect(
      fileErrorOf(() =>
        parsePyTorch(
          zipOf([
            ["a", ""],
            ["a", ""],
          ]),
        ),
      ),
    ).toBe("zip-duplicate");
    // Each list holds the one before it ten times: 10^20 places from 400 bytes.
    let lists = "]q\0";
    for (let i = 0; i < 20; i++) lists += `](${"h\0".repeat(10)}eq\0`;
    expect(fileErrorOf(() => parsePyTorch(zipOf([["a/data.pkl", `\x80\x02${lists}.`]])))).toBe("pytorch-nesting");
    expect(fileErrorOf(() => parsePyTorch(zipOf([["a/data.pkl", "\x80\x02]q\0h\0a."]])))).toBe("pytorch-nesting");
  });
});

describe("what a file says of its records", () => {
  const tensors = new Map([
    ["a", { shape: [5], data: Float32Array.of(1, -2, 3.5, 0, 7) }],
    ["h", { shape: [2, 1], data: Uint16Array.of(0x3c00, 0xc000), storage: "HalfStorage" }],
    ["b", { shape: [2], data: Uint16Array.of(0x3fc0, 0xff80), storage: "BFloat16Storage" }],
  ]);
  const values = (file: Uint8Array<ArrayBuffer>) => {
    const { tensors } = parsePyTorch(file);
    return [...tensors.keys()].map((name) => floats(tensors, name));
  };
  const expected = [
    [1, -2, 3.5, 0, 7],
    [1, -2],
    [1.5, Number.NEGATIVE_INFINITY],
  ];

  it("is believed in 32 bits and in 64", () => {
    expect(values(torchFile(tensors))).toEqual(expected);
    const wide = torchFile(tensors, { wide: true });
    expect(values(wide)).toEqual(expected);
    for (let length = 0; length < wide.length; length += 11)
      expect(fileErrorOf(() => parsePyTorch(wide.slice(0, length)))).not.toBe("none");
    new DataView(wide.buffer).setUint32(find(wide, "PK\x06\x07") + 8, 2 ** 31, true);
    expect(fileErrorOf(() => parsePyTorch(wide))).toBe("zip-directory");
  });

  it("is held against the checksums, where there are any", async () => {
    expect(values(torchFile(tensors, { checksum: () => 0 }))).toEqual(expected);
    expect(fileErrorOf(() => parsePyTorch(torchFile(tensors, { checksum: () => 1 })))).toBe("zip-checksum");
    const files = { own: torchFile(tensors), torch: await fixture("pth_state.pth") };
    for (const [what, file] of Object.entries(files)) {
      // torch.save pads the names so that storages begin at multiples of 64 bytes.
      const behind = find(file, "data/0") + 6;
      const at = what === "own" ? behind : Math.ceil((behind + 4) / 64) * 64;
      file[at] = (file[at] as number) ^ 1;
      expect(
        fileErrorOf(() => parsePyTorch(file)),
        what,
      ).toBe("zip-checksum");
      expect(() => parsePyTorch(file)).toThrow(/data\/0" differs from its checksum; the file is damaged/);
    }
  });

  it("has the checksum of zip at every length", () => {
    // The check value of CRC-32, and a bitwise reference.
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
    const bytes = Uint8Array.from({ length: 40 }, (_, i) => (i * 167 + 89) & 255);
    for (let length = 0; length <= 40; length++)
      expect(crc32(bytes.subarray(1, length))).toBe(bitwise(bytes.subarray(1, length)));
  });
});

it("refuses the archives of PyTorch 0.1, which are tar files", () => {
  const tar = new Uint8Array(1024);
  tar.set(new TextEncoder().encode("ustar"), 257);
  expect(fileErrorOf(() => parsePyTorch(tar))).toBe("pytorch-legacy");
});

describe("hostile pickles", () => {
  const pickle = (text: string) => {
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    return readPickle(
      bytes,
      torchHooks((key) => (key === "0" ? new Uint8Array(16) : undefined)),
    );
  };
  const storage = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
  const tensor = (offset: string, size: string, strides: string) =>
    `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${storage}${offset}(${size}t(${strides}t\x89)tR.`;

  it("reads the tensor that the others are made from", () => {
    expect(pickle(tensor("K\0", "K\x02K\x02", "K\x02K\x01"))).toMatchObject({ dtype: "F32", shape: [2, 2] });
  });

  it.each([
    ["a call of the system", "\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.", "pickle-global"],
    ["a name from the stack", "\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "pickle-global"],
    ["an object", "\x80\x02)\x81.", "pickle-opcode"],
    ["an instance", "\x80\x02(iposix\nsystem\n.", "pickle-opcode"],
    ["an extension", "\x80\x02\x82\x01.", "pickle-opcode"],
    ["an unknown opcode", "\x80\x02\xff.", "pickle-opcode"],
    ["an old protocol", "\x80\x01N.", "pickle-damaged"],
    ["an empty stack", "\x80\x02.", "pickle-damaged"],
    ["an unknown memo", "\x80\x02h\x07.", "pickle-damaged"],
    ["a text longer than the file", "\x80\x02X\xff\xff\xff\xffa.", "pickle-damaged"],
    ["no end", "\x80\x02N", "pickle-damaged"],
    ["a call of a storage class", "\x80\x02ctorch\nFloatStorage\n)R.", "pickle-global"],
    ["an offset past the storage", tensor("K\x03", "K\x02", "K\x01"), "pytorch-tensor"],
    ["a stride past the storage", tensor("K\0", "K\x02", "K\x04"), "pytorch-tensor"],
    ["a negative size", tensor("K\0", "J\xff\xff\xff\xff", "K\x01"), "pytorch-tensor"],
    ["an expanded tensor", tensor("K\0", "J\xff\xff\xff\x7f", "K\0"), "pytorch-tensor"],
    [
      "a storage without a record",
      tensor("K\0", "K\x01", "K\x01").replace("\x01\0\0\x000X", "\x01\0\0\x009X"),
      "pytorch-storage",
    ],
  ])("refuses %s", (_, text, code) => {
    expect(fileErrorOf(() => pickle(text))).toBe(code);
  });
});

/** Where a text stands in bytes. */
function find(bytes: Uint8Array, text: string): number {
  return Array.from(bytes, (byte) => String.fromCharCode(byte))
    .join("")
    .indexOf(text);
}
