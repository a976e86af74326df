/** A matrix product with knobs of the tuner's choice, as a line of the bench. */
import type { Choice, ProductShape } from "../../src/ops/choice.ts";
import { product } from "../../src/ops/product.ts";
import { empty } from "../../src/tensor/create.ts";
import type { Line } from "../line.ts";
import { input, words } from "../suite/inputs.ts";
import { productReference } from "../suite/matmul.ts";

export function productLine(name: string, shape: ProductShape, choice: Choice): Line {
  const { M, N, K } = shape;
  return {
    name: `${name} ${JSON.stringify(choice)} ${M}x${K}x${N}`,
    flops: 2 * M * N * K,
    bytes: words(M * K, K * N, M * N),
    prepare(device, random) {
      const a = input(device, random, [M, K]);
      const b = input(device, random, shape.transposeB ? [N, K] : [K, N]);
      return {
        inputs: [a.on, b.on],
        run() {
          const out = empty(device, [M, N]);
          product(device, { ...shape, a: a.on, b: b.on, out, choice });
          return [out];
        },
        expected: () => [productReference(a.values, b.values, shape)],
      };
    },
  };
}
