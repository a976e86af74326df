import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FAMILIES, type Family, type ProductFamily } from "../../bench/tune/families.ts";
import { judge, type Trial } from "../../bench/tune/search.ts";
import { TABLE_FILE, tableText } from "../../bench/tune/store.ts";
import { choose, type ProductDevice, type ProductShape } from "../../src/ops/choice.ts";
import { adapterKey, type DeviceKnobs, type RowKnobs, tunedFor } from "../../src/ops/tuned.ts";
import { MEASURED } from "../../src/ops/tunedTable.ts";

const device = (software: boolean, vendor: string, architecture: string): ProductDevice => ({
  software,
  info: { vendor, architecture },
  has: () => true,
});
const gpu = device(false, "acme", "anvil");
const square = (size: number): ProductShape => ({
  ...{ M: size, N: size, K: size, batch: 1, transposeA: false, transposeB: false },
});

const isProduct = (family: Family): family is ProductFamily => "shapes" in family;

function checkProduct(family: ProductFamily, candidate: unknown, base: DeviceKnobs): void {
  const [shape] = family.shapes as [ProductShape];
  const { kernel, knobs } = family.choice(candidate, shape, base);
  const {
    WIDTH = 1,
    HEIGHT = 1,
    SLICES = 1,
    LANES,
    BLOCKS_M = 1,
    BLOCKS_N = 1,
    DEPTH = 0,
  } = knobs as unknown as Record<string, number>;
  expect(LANES ?? WIDTH * HEIGHT * SLICES).toBeLessThanOrEqual(256);
  if (kernel === "tiled") expect(16 * DEPTH * (HEIGHT * BLOCKS_M + WIDTH * BLOCKS_N)).toBeLessThanOrEqual(16384);
  if (kernel === "vector") expect(16 * WIDTH * SLICES * shape.M).toBeLessThanOrEqual(16384);
}

describe("the engine", () => {
  test("takes an adapter's knobs from its entry, and leaves other adapters alone", () => {
    const small = { WIDTH: 8, HEIGHT: 8, BLOCKS_M: 2, BLOCKS_N: 1, DEPTH: 8 } as const;
    const table = { [adapterKey(gpu)]: { tiles: { small }, sums: { LANES: 32 } } };
    const knobs = tunedFor(gpu, table);
    expect(choose(square(256), gpu, knobs)).toMatchObject({ kernel: "tiled", knobs: small });
    expect(choose({ ...square(64), M: 1, transposeB: true }, gpu, knobs)).toEqual({
      kernel: "sums",
      knobs: { LANES: 32 },
    });
    // What the entry does not tell stays as for its kind.
    const norm = { LANES: 128, WORDS: 2, GROUP: 128, WIDTH: 4 } as const;
    const rows = tunedFor(gpu, { [adapterKey(gpu)]: { rows: { norm } } }).rows;
    expect(rows).toEqual({ ...tunedFor(gpu, {}).rows, norm });
    expect(knobs.tiles.large).toEqual(tunedFor(gpu, {}).tiles.large);
    expect(tunedFor(device(false, "acme", "hammer"), table)).toEqual(tunedFor(gpu, {}));
  });

  test("gives an unknown adapter what is sane for its kind", () => {
    expect(tunedFor(gpu)).toBe(tunedFor(device(false, "", "")));
    expect(choose(square(2048), gpu)).toMatchObject({ kernel: "tiled", knobs: { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 2 } });
    // Slices need a barrier, which an emulation pays dearly.
    expect(tunedFor(device(true, "", "")).vector.SLICES).toBe(1);
    expect(tunedFor(gpu).vector.SLICES).toBeGreaterThan(1);
  });
});

describe("the tuner", () => {
  test("turns every set of knobs of a device, but the rows that no search is for", () => {
    const names = ({ tiles, rows, ...others }: DeviceKnobs) =>
      [...Object.keys(others), ...Object.keys(tiles).map((name) => `tiles.${name}`)].concat(
        Object.keys(rows).map((name) => `rows.${name}`),
      );
    const searched = new Set(FAMILIES.map(({ name }) => name));
    expect(names(tunedFor(gpu)).filter((name) => !searched.has(name))).toEqual(["rows.other"]);
    // Of each kind of device its own search, not two.
    for (const software of [false, true]) {
      const fitting = FAMILIES.filter((family) => family.fits({ software, has: () => true })).map(({ name }) => name);
      expect(new Set(fitting).size).toBe(fitting.length);
      expect(fitting).toContain("rows.softmax");
      expect(fitting).toContain("rows.norm");
    }
  });

  test.each(FAMILIES.map((family) => [family.name, family] as const))(
    "tries what every device can run: %s",
    (_, family) => {
      expect(family.candidates.length).toBeGreaterThan(2);
      for (const software of [false, true]) {
        const base = tunedFor(device(software, "", ""), {});
        for (const candidate of family.candidates) {
          if (isProduct(family)) checkProduct(family, candidate, base);
          else {
            const { LANES, GROUP } = candidate as RowKnobs;
            expect(GROUP).toBeLessThanOrEqual(256);
            expect(GROUP % LANES).toBe(0);
          }
        }
        const [first] = family.candidates;
        const table = { "/": family.store(first, {}) };
        expect(family.now(tunedFor(device(software, "", ""), table))).toEqual(first);
        expect(family.work.map((_, piece) => family.line(first, piece, base).bytes).every((bytes) => bytes > 0)).toBe(
          true,
        );
      }
    },
  );

  test("keeps a candidate that is right and clearly faster, and no other", () => {
    const [family] = FAMILIES as unknown as [(typeof FAMILIES)[number]];
    const trial = (candidate: string, ratio: number, error: string | null = null): Trial => ({
      ...{ candidate, ms: [ratio], ratio, error },
    });
    const now = trial("now", 1);
    expect(judge(family, [now, trial("a", 0.9), trial("b", 0.8)]).winner).toBe("b");
    expect(judge(family, [now, trial("a", 0.98)]).winner).toBeNull();
    expect(judge(family, [now, trial("wrong", Number.POSITIVE_INFINITY, "WRONG at index 0")]).winner).toBeNull();
  });

  test("writes the file that the engine reads", () => {
    expect(tableText(MEASURED)).toBe(readFileSync(TABLE_FILE, "utf8"));
    const text = tableText({ "b/c": { sums: { LANES: 32 } }, "a/b": {} });
    expect(text).toContain('{\n  "a/b": {},\n  "b/c": {\n    sums: {\n      LANES: 32,\n    },\n  },\n} as const;\n');
  });
});
