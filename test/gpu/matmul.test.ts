import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { type Choice, fitsVectors, type ProductShape, type TiledKnobs } from "../../src/ops/choice.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { product } from "../../src/ops/product.ts";
import { empty, full, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const SIZES = [1, 2, 3, 5, 7, 16, 17, 31, 33, 65];
const FLAGS = [false, true];

/** Whole numbers, so that every order of additions gives the same float32. */
const elementA = (z: number, i: number, k: number): number => ((7 * i + 3 * k + z) % 11) - 5;
const elementB = (z: number, k: number, n: number): number => ((5 * k + 2 * n + 4 * z) % 13) - 6;

/** [batch, rows, columns], or [batch, columns, rows] if transposed. */
function fillMatrices(batch: number, rows: number, columns: number, transposed: boolean, element: typeof elementA): Float32Array<ArrayBuffer> {
  const data = new Float32Array(batch * rows * columns);
  for (let z = 0; z < batch; z++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) data[z * rows * columns + (transposed ? c * rows + r : r * columns + c)] = element(z, r, c);
  return data;
}

function expectedProduct({ M, N, K, batch }: ProductShape): Float32Array {
  const y = new Float32Array(batch * M * N);
  for (let z = 0; z < batch; z++)
    for (let m = 0; m < M; m++)
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let k = 0; k < K; k++) sum += elementA(z, m, k) * elementB(z, k, n);
        y[(z * M + m) * N + n] = sum;
      }
  return y;
}

/** The first index that differs, or -1; an `expect` for each element would take minutes. */
function firstDifference(got: Float32Array, want: Float32Array): number {
  return want.findIndex((value, i) => got[i] !== value);
}

const GUARD = 12345;
const GUARDS = 64;

/** Runs every size with one choice of kernel; `skip` leaves out what the kernel cannot do. */
async function sweep(choose: (shape: ProductShape) => Choice | undefined | null): Promise<void> {
  let ran = 0;
  for (const M of SIZES)
    for (const N of SIZES) {
      const results: { data: Promise<Float32Array>; want: Float32Array; name: string }[] = [];
      for (const K of SIZES)
        for (const batch of [1, 3])
          for (const transposeA of FLAGS)
            for (const transposeB of FLAGS) {
              const shape: ProductShape = { M, N, K, batch, transposeA, transposeB, epilogue: false };
              const choice = choose(shape);
              if (choice === null) continue;
              ran++;
              scope(() => {
                const a = tensor(device, fillMatrices(batch, M, K, transposeA, elementA));
                const b = tensor(device, fillMatrices(batch, K, N, transposeB, elementB));
                const out = full(device, [batch * M * N + GUARDS], GUARD);
                product(device, { a, b, out, ...shape, ...(choice ? { choice } : {}) });
                results.push({ data: out.data(), want: expectedProduct(shape), name: JSON.stringify(shape) });
              });
            }
      for (const { data, want, name } of results) {
        const got = await data;
        const at = firstDifference(got, want);
        if (at >= 0) expect.fail(`${name}: element ${at} is ${got[at]} and should be ${want[at]}`);
        if (got.subarray(want.length).some((value) => value !== GUARD)) expect.fail(`${name}: an element behind the result was overwritten`);
      }
    }
  expect(ran).toBeGreaterThan(60);
}

const tiled = (knobs: TiledKnobs, splits: number, sizes: readonly number[]) => (shape: ProductShape) =>
  [shape.M, shape.N, shape.K].every((n) => sizes.includes(n)) ? ({ kernel: "tiled", splits, knobs } as const) : null;
const SQUARE: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 1, BLOCKS_N: 1 };
const LARGE: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 2, BLOCKS_N: 2 };
const UNEVEN: TiledKnobs = { WIDTH: 4, HEIGHT: 8, BLOCKS_M: 2, BLOCKS_N: 1, DEPTH: 8 };
const VECTOR = { kernel: "vector", knobs: { WIDTH: 2, SLICES: 8 } } as const;

// The kernels for GPUs are slow on an emulation, so they get fewer sizes.
describe("products of whole numbers are exact", () => {
  test("as chosen, at every size", () => sweep(() => undefined));
  test("tiled", () => sweep(tiled(SQUARE, 1, [1, 17, 65])));
  test("large tiles", () => sweep(tiled(LARGE, 1, [17, 65])));
  test("uneven tiles", () => sweep(tiled(UNEVEN, 1, [3, 33])));
  test("tiled and split along K", () => sweep(tiled(SQUARE, 3, [1, 33])));
  test("vector", () => sweep((shape) => (fitsVectors(shape) && !shape.transposeA && shape.M <= 4 ? VECTOR : null)));
});
