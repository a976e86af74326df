import { expect, test } from "vitest";
import { choose, type ProductDevice, type ProductShape } from "../../src/ops/choice.ts";

const unknown = { vendor: "acme", architecture: "anvil" };
const gpu: ProductDevice = { software: false, has: () => true, info: unknown };
const plainGpu: ProductDevice = { ...gpu, has: () => false };
const emulation: ProductDevice = { software: true, has: () => true, info: unknown };
const plainEmulation: ProductDevice = { software: true, has: () => false, info: unknown };

function shape(M: number, K: number, N: number, more: Partial<ProductShape> = {}): ProductShape {
  return { M, K, N, batch: 1, transposeA: false, transposeB: false, ...more };
}

test("a GPU gets tiles, large ones where there are enough of them", () => {
  expect(choose(shape(512, 512, 512), gpu)).toMatchObject({ kernel: "tiled", knobs: { BLOCKS_M: 1, BLOCKS_N: 1 } });
  expect(choose(shape(1024, 1024, 1024), gpu)).toMatchObject({ kernel: "tiled", knobs: { BLOCKS_M: 2, BLOCKS_N: 2 } });
  expect(choose(shape(128, 64, 128, { batch: 64 }), gpu)).toMatchObject({ kernel: "tiled", knobs: { BLOCKS_M: 2 } });
  expect(choose(shape(7, 5, 3), gpu)).toMatchObject({ kernel: "tiled", splits: 1 });
});

test("products of few tiles are split along K", () => {
  // 8 tiles of 64 x 64: 16 parts would keep a GPU busy, and each has 256 of the 4096 elements.
  expect(choose(shape(512, 4096, 64, { transposeA: true }), gpu)).toMatchObject({ kernel: "tiled", splits: 16 });
  // Parts never get shorter than 128.
  expect(choose(shape(512, 256, 64, { transposeA: true }), gpu)).toMatchObject({ splits: 2 });
  // Few rows: 8 tiles of 16 x 128.
  expect(choose(shape(16, 1024, 1024), gpu)).toMatchObject({ kernel: "tiled", splits: 8, knobs: { HEIGHT: 4 } });
});

test("tiles fit the workgroup memory that every device has", () => {
  for (const size of [8, 64, 4096]) {
    const choice = choose(shape(size, size, size), gpu);
    if (choice.kernel !== "tiled") throw new Error(`${choice.kernel} was chosen`);
    const { WIDTH, HEIGHT, BLOCKS_M, BLOCKS_N, DEPTH } = choice.knobs;
    expect(DEPTH * (HEIGHT * BLOCKS_M + WIDTH * BLOCKS_N) * 16).toBeLessThanOrEqual(16384);
    expect(WIDTH * HEIGHT).toBeLessThanOrEqual(256);
  }
});

test("up to four rows of vectors get the vector kernel, on an emulation without its barrier", () => {
  expect(choose(shape(1, 1024, 65, { transposeB: true }), plainGpu)).toMatchObject({ kernel: "vector" });
  expect(choose(shape(1, 1024, 65, { transposeB: true }), gpu)).toMatchObject({ kernel: "sums" });
  expect(choose(shape(1, 1024, 64), gpu)).toMatchObject({ kernel: "vector" });
  expect(choose(shape(1, 1024, 65, { transposeB: true }), emulation)).toMatchObject({ kernel: "vector" });
  expect(choose(shape(4, 128, 64), emulation)).toMatchObject({ kernel: "vector", knobs: { SLICES: 1 } });
  expect(choose(shape(1, 1024, 65), gpu)).toMatchObject({ kernel: "tiled" });
  expect(choose(shape(4, 128, 64, { transposeA: true }), gpu)).toMatchObject({ kernel: "tiled" });
});

test("an emulation gets no tiles, and shares loads where subgroups and sizes allow it", () => {
  expect(choose(shape(256, 64, 512), emulation)).toMatchObject({ kernel: "quads", knobs: { HEIGHT: 4 } });
  expect(choose(shape(8, 64, 512), emulation)).toMatchObject({ kernel: "quads", knobs: { HEIGHT: 1 } });
  expect(choose(shape(256, 65, 512), emulation)).toMatchObject({ kernel: "direct" });
  expect(choose(shape(256, 64, 512), plainEmulation)).toMatchObject({ kernel: "direct" });
});
