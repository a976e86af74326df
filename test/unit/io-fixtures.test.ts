import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FileError } from "../../src/gpu/errors.ts";
import { toFloat32, toInt32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";

interface Expected {
  shape?: number[];
  bits?: number[];
  values: (number | boolean | "inf" | "-inf" | "nan")[];
}

const root = join(import.meta.dirname, "../..");

function read(folder: string, name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(join(folder, `${name}.safetensors`)));
}

function numbers(tensor: FileTensor, name: string): number[] {
  if (tensor.dtype === "I64") return [...new BigInt64Array(tensor.data.slice().buffer)].map(Number);
  if (tensor.dtype === "F64") return [...new Float64Array(tensor.data.slice().buffer)];
  return [...(/F/.test(tensor.dtype) ? toFloat32(tensor, name) : toInt32(tensor, name))];
}

const special = { inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY, nan: Number.NaN };

for (const folder of ["test/fixtures/format", "../shared/fixtures/public/format"]) {
  const path = join(root, folder);
  describe.skipIf(!existsSync(path))(folder, () => {
    if (!existsSync(path)) return;
    const { good, bad } = JSON.parse(readFileSync(join(path, "format.json"), "utf8")) as {
      good: Record<string, Record<string, Expected | string>>;
      bad: Record<string, string>;
    };

    test("every file is listed", () => {
      const names = readdirSync(path).filter((name) => name.endsWith(".safetensors"));
      expect(names.map((name) => name.replace(".safetensors", "")).sort()).toEqual(
        [...Object.keys(good), ...Object.keys(bad)].sort(),
      );
    });

    for (const [file, tensors] of Object.entries(good)) {
      test(`reads ${file}`, () => {
        const expected = Object.entries(tensors).filter((item): item is [string, Expected] => item[0] !== "why");
        const parsed = parseSafetensors(read(path, file)).tensors;
        expect([...parsed.keys()].sort()).toEqual(expected.map(([name]) => name).sort());
        for (const [name, { shape, values }] of expected) {
          const tensor = parsed.get(name) as FileTensor;
          if (shape) expect(tensor.shape).toEqual(shape);
          const wanted = values.map((value) => (typeof value === "string" ? special[value] : Number(value)));
          expect(numbers(tensor, name)).toEqual(wanted);
        }
      });
    }

    for (const file of Object.keys(bad)) {
      test(`refuses ${file}`, () => expect(() => parseSafetensors(read(path, file))).toThrow(FileError));
    }
  });
}
