import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { type Choice, fitsQuads, fitsVector, type ProductShape } from "../../src/ops/choice.ts";
import { toHalf } from "../../src/ops/half.ts";
import { product } from "../../src/ops/product.ts";
import type { TiledKnobs } from "../../src/ops/tuned.ts";
import { full, tensor } from "../../src/tensor/create.ts";
import { keep } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const SIZES = [1, 2, 3, 5, 7, 16, 17, 31, 33, 65];
const FLAGS = [false, true];

const BATCHES = [1, 3];
const MOST = 3;
const GUARD = 12345;
const GUARDS = 64;

/** Whole numbers, so that every order of additions gives the same float32. */
const elementA = (z: number, i: number, k: number): number => ((7 * i + 3 * k + z) % 11) - 5;
const elementB = (z: number, k: number, n: number): number => ((5 * k + 2 * n + 4 * z) % 13) - 6;

/** [MOST, rows, columns], or [MOST, columns, rows] if transposed; a batch of 1 uses the first matrix. */
function matrices(rows: number, columns: number, transposed: boolean, element: typeof elementA): Tensor {
  const data = new Float32Array(MOST * rows * columns);
  for (let z = 0; z < MOST; z++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++)
        data[z * rows * columns + (transposed ? c * rows + r : r * columns + c)] = element(z, r, c);
  return keep(tensor(device, data));
}

function expectedProduct(M: number, N: number, K: number): Float32Array {
  const y = new Float32Array(MOST * M * N);
  for (let z = 0; z < MOST; z++)
    for (let m = 0; m < M; m++)
      for (let k = 0; k < K; k++) {
        const left = elementA(z, m, k);
        for (let n = 0; n < N; n++) (y[(z * M + m) * N + n] as number) += left * elementB(z, k, n);
      }
  return y;
}

/** What a product is made of is kept from case to case: making it anew would take most of the time. */
function memo<R>(make: (...key: never[]) => R): (...key: (number | boolean)[]) => R {
  const made = new Map<string, R>();
  return (...key) => {
    const name = key.join();
    const found = made.get(name) ?? make(...(key as never[]));
    made.set(name, found);
    return found;
  };
}

interface Result {
  readonly shape: ProductShape;
  readonly data: Promise<Float32Array>;
  readonly want: Float32Array;
}

async function check({ shape, data, want }: Result): Promise<void> {
  const got = await data;
  // One comparison of arrays: an `expect` for each element would take minutes.
  const at = want.findIndex((value, i) => got[i] !== value);
  if (at >= 0) expect.fail(`${JSON.stringify(shape)}: element ${at} is ${got[at]} and should be ${want[at]}`);
  if (got.subarray(want.length).some((value) => value !== GUARD)) {
    expect.fail(`${JSON.stringify(shape)}: an element behind the result was overwritten`);
  }
}

/**
 * Runs every size with a choice of kernel (undefined: the engine's own), except where it is null.
 * @param half b is stored as halves, which hold these numbers exactly
 */
async function sweep(choose: (shape: ProductShape) => Choice | undefined | null, half = false): Promise<void> {
  const left = memo((M: number, K: number, transposed: boolean) => matrices(M, K, transposed, elementA));
  const right = memo((K: number, N: number, transposed: boolean) => {
    const full = matrices(K, N, transposed, elementB);
    if (!half) return full;
    const halves = keep(toHalf(full));
    full.dispose();
    return halves;
  });
  const expected = memo(expectedProduct);
  let ran = 0;
  const kept = new Set<Tensor>();
  for (const M of SIZES)
    for (const N of SIZES) {
      const results: Result[] = [];
      for (const K of SIZES)
        for (const batch of BATCHES)
          for (const transposeA of FLAGS)
            for (const transposeB of FLAGS) {
              const shape: ProductShape = { M, N, K, batch, transposeA, transposeB };
              const choice = choose(shape);
              if (choice === null) continue;
              const want = expected(M, N, K).subarray(0, batch * M * N);
              using out = full(device, [want.length + GUARDS], GUARD);
              const [a, b] = [left(M, K, transposeA), right(K, N, transposeB)];
              kept.add(a).add(b);
              product(device, { a, b, out, ...shape, ...(choice ? { choice } : {}) });
              results.push({ shape, data: out.data(), want });
              ran++;
            }
      for (const result of results) await check(result);
    }
  for (const matrix of kept) matrix.dispose();
  expect(ran).toBeGreaterThan(30);
}

/** Tiled products of sizes around a tile's edge, for two of the four ways to store the operands. */
const tiled =
  (knobs: TiledKnobs, splits: number, sizes: readonly number[], crossed: boolean) => (shape: ProductShape) => {
    const wanted =
      [shape.M, shape.N, shape.K].every((n) => sizes.includes(n)) &&
      (shape.transposeA !== shape.transposeB) === crossed;
    return wanted ? ({ kernel: "tiled", splits, knobs } as const) : null;
  };
const SQUARE: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 1, BLOCKS_N: 1, DEPTH: 8 };
const LARGE: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 2, BLOCKS_N: 2, DEPTH: 8 };
const SHORT: TiledKnobs = { WIDTH: 32, HEIGHT: 4, BLOCKS_M: 1, BLOCKS_N: 1, DEPTH: 8 };
const UNEVEN: TiledKnobs = { WIDTH: 4, HEIGHT: 8, BLOCKS_M: 2, BLOCKS_N: 1, DEPTH: 8 };
const DIRECT = { kernel: "direct", knobs: { WIDTH: 4, HEIGHT: 2 } } as const;
const QUADS = { kernel: "quads", knobs: { WIDTH: 4, HEIGHT: 2 } } as const;
const VECTOR = { kernel: "vector", knobs: { WIDTH: 2, SLICES: 8 } } as const;
const SUMS = { kernel: "sums", knobs: { LANES: 16 } } as const;
const quads = (shape: ProductShape) => (fitsQuads(shape) ? QUADS : null);
const vector = (shape: ProductShape) => (fitsVector(shape) ? VECTOR : null);
const sums = (shape: ProductShape) => (fitsVector(shape) && shape.transposeB ? SUMS : null);
/** A few sizes, for kernels whose every size another test goes through. */
const some = (shape: ProductShape) =>
  [shape.M, shape.N, shape.K].every((n) => [1, 7, 16, 33].includes(n)) && !shape.transposeA ? DIRECT : null;

// The kernel for GPUs compiles and runs slowly on an emulation, so it gets fewer sizes.
describe("products of whole numbers are exact", () => {
  test("as chosen, at every size", () => sweep(() => undefined), 240_000);
  test("tiled", () => sweep(tiled(SQUARE, 1, [1, 17, 65], false)));
  test("tiled, each block of results in four parts", () => sweep(tiled(LARGE, 1, [3, 65], true)));
  test("tiled, two parts, and split along K", () => sweep(tiled(UNEVEN, 3, [1, 16, 33], false)));
  test("direct, by vectors", () => sweep((shape) => (fitsQuads(shape) ? DIRECT : null)));
  test("direct, by vectors that quads share", ({ skip }) => {
    if (!device.has("subgroups")) skip();
    return sweep(quads);
  });
  test("vector", () => sweep(vector));
  test("vector, added up by subgroups", ({ skip }) => {
    if (!device.has("subgroups")) skip();
    return sweep(sums);
  });
});

describe("products with halves are as exact", () => {
  test("direct, by elements", () => sweep(some, true));
  test("direct, by vectors that quads share", ({ skip }) => {
    if (!device.has("subgroups")) skip();
    return sweep(quads, true);
  });
  test("vector", () => sweep(vector, true));
  test("vector, added up by subgroups", ({ skip }) => {
    if (!device.has("subgroups")) skip();
    return sweep(sums, true);
  });
  test("tiled", () => sweep(tiled(SHORT, 2, [7, 16], false), true));
});
