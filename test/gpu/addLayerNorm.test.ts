import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { addLayerNorm } from "../../src/ops/addLayerNorm.ts";
import { add, mul } from "../../src/ops/binary.ts";
import { layerNorm } from "../../src/ops/norm.ts";
import { sum } from "../../src/ops/reduce.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { numbers, type Ref } from "../support/reference.ts";

let device: Device;
/** The same device with the launches that a real GPU gets. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

type Step = typeof addLayerNorm;

/** The same by layers that have tests of their own. */
const apart: Step = (x, update, weight, bias, eps) => {
  const stream = update ? add(x, update) : x;
  return { stream: stream as ReturnType<Step>["stream"], y: layerNorm(stream, weight, bias, eps) };
};

/** Both results and the gradients of everything, with one or both of the results in use. */
async function run(on: Device, step: Step, size: number, updated: boolean, uses: "both" | "y" | "stream") {
  const leaf = (x: Ref) => {
    const leaf = tensor(on, Float32Array.from(x.data), x.shape);
    leaf.requiresGrad = true;
    return leaf;
  };
  const shape = [3, 7, size];
  const x = leaf(numbers(shape, -2, 2, 1));
  const update = updated ? leaf(numbers(shape, -1, 1, 2)) : null;
  const [weight, bias] = [leaf(numbers([size], 0.5, 2, 3)), leaf(numbers([size], -1, 1, 4))];
  const [a, b] = [numbers(shape, -1, 1, 5), numbers(shape, -1, 1, 6)].map((r) =>
    tensor(on, Float32Array.from(r.data), shape),
  );
  const { stream, y } = scope(() => {
    const { stream, y } = step(x, update, weight, bias, 1e-3);
    const parts = [...(uses === "stream" ? [] : [sum(mul(y, a!))]), ...(uses === "y" ? [] : [sum(mul(stream, b!))])];
    backward(parts.length === 2 ? add(parts[0]!, parts[1]!) : parts[0]!);
    return { stream, y };
  });
  const gradients = [x, update, weight, bias].map((leaf) => leaf?.grad?.data() ?? Promise.resolve(null));
  return { results: [await stream.data(), await y.data()], gradients: await Promise.all(gradients) };
}

test.each([1, 3, 8, 33, 260])("rows of %i: as an addition and a layer norm apart", async (size) => {
  for (const on of [device, wide])
    for (const updated of [true, false])
      for (const uses of ["both", "y", "stream"] as const) {
        const what = `update: ${updated}, uses: ${uses}`;
        const [found, expected] = [
          await run(on, addLayerNorm, size, updated, uses),
          await run(on, apart, size, updated, uses),
        ];
        expect(found.results, what).toEqual(expected.results);
        expected.gradients.forEach((gradient, i) => {
          if (gradient === null) expect(found.gradients[i] ?? null, `${what}, gradient ${i}`).toBeNull();
          else
            expectClose(found.gradients[i] as Float32Array, gradient, { atol: 1e-6, what: `${what}, gradient ${i}` });
        });
      }
});

test("one launch, however many results are used", async () => {
  const x = tensor(device, new Float32Array(64), [4, 16]);
  const row = tensor(device, new Float32Array(16));
  for (const update of [x, null]) {
    const plan = await capture(device, () => addLayerNorm(x, update, row, row));
    expect(plan.dispatches).toBe(1);
    plan.dispose();
  }
});

test("an update of another shape is refused", () => {
  const x = tensor(device, new Float32Array(8), [2, 4]);
  const row = tensor(device, new Float32Array(4));
  const update = tensor(device, new Float32Array(4), [1, 4]);
  expect(() => addLayerNorm(x, update, row, row)).toThrow(
    "addLayerNorm: x is [2, 4] and update is [1, 4]; they must be equal",
  );
});
