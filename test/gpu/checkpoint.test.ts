import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { checkpoint } from "../../src/autograd/checkpoint.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add, mul } from "../../src/ops/binary.ts";
import { dropout } from "../../src/ops/dropout.ts";
import { sum } from "../../src/ops/reduce.ts";
import { gelu, sigmoid, tanh } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Generator } from "../../src/tensor/generator.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";
import { numbers } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

type Run = (fn: (x: Tensor) => Tensor<"f32">, x: Tensor) => Tensor<"f32">;
const plain: Run = (fn, x) => fn(x);
const checkpointed: Run = (fn, x) => checkpoint(fn, x);

function parameter(shape: number[], seed: number): Tensor<"f32"> {
  const made = tensor(device, Float32Array.from(numbers(shape, -1, 1, seed).data), shape);
  made.requiresGrad = true;
  return made;
}

/** Loss and gradients of a stack of blocks with a shared and an own weight each and dropout between. */
async function train(run: Run, blocks: number): Promise<number[][]> {
  using generator = new Generator(device, 5);
  const x = parameter([16, 64], 1);
  const shared = parameter([64], 2);
  const own = Array.from({ length: blocks }, (_, i) => parameter([16, 64], i + 3));
  const loss = scope(() => {
    let h: Tensor<"f32"> = x;
    for (const weight of own)
      h = run((h) => add(dropout(tanh(mul(gelu(h), weight)), 0.3, generator), mul(sigmoid(h), shared)), h);
    const loss = sum(mul(h, h));
    backward(loss);
    return loss;
  });
  const all = [loss, ...[x, shared, ...own].map((t) => t.grad as Tensor)];
  const data = await Promise.all(all.map(async (t) => [...(await t.data())]));
  for (const t of [loss, x, shared, ...own]) t.dispose();
  return data;
}

test("gradients of inputs and of parameters equal the plain ones bit for bit, with dropout", async () => {
  const [a, b] = [await train(plain, 3), await train(checkpointed, 3)];
  expect(b).toEqual(a);
  expect((a[1] as number[]).some((v) => v !== 0)).toBe(true);
});

test("inside a captured step too", async () => {
  const x = parameter([100], 1);
  const weight = parameter([100], 2);
  const step = (run: Run) => {
    x.gradValid = false;
    weight.gradValid = false;
    const loss = sum(run((x) => tanh(mul(x, weight)), x));
    backward(loss);
    return loss;
  };
  scope(() => step(plain));
  const eager = [[...((await x.grad?.data()) ?? [])], [...((await weight.grad?.data()) ?? [])]];
  const plan = await capture(device, () => step(checkpointed));
  plan.replay();
  expect([[...((await x.grad?.data()) ?? [])], [...((await weight.grad?.data()) ?? [])]]).toEqual(eager);
  plan.dispose();
});

test("the intermediates of a block need not fit in memory all at once", async () => {
  const block = (x: Tensor) => {
    let h = tanh(gelu(x));
    for (let k = 1; k < 6; k++) h = tanh(gelu(h));
    return h;
  };
  const peakOf = async (run: Run) => {
    // A device of its own: garbage of other tests would show in the count.
    const own = await openDevice({ gpu: await getGpu() });
    const x = tensor(own, Float32Array.from(numbers([64 * 1024], -1, 1).data));
    x.requiresGrad = true;
    scope(() => {
      let h: Tensor<"f32"> = x;
      for (let i = 0; i < 6; i++) h = run(block, h);
      backward(sum(h));
    });
    x.dispose();
    const { live, peak } = own.stats.memory;
    expect(live).toBe(0);
    own.destroy();
    return peak;
  };
  const [without, within] = [await peakOf((fn, x) => scope(() => fn(x))), await peakOf(checkpointed)];
  // 36 saved activations and a block of 12 while it runs, against 6 inputs and such a block
  expect(within).toBeLessThan(without / 2);
});

test("several inputs and outputs, nested", async () => {
  const [a, b] = [parameter([8], 1), parameter([8], 2)];
  const ids = tensor(device, [1, 2], undefined, "u32");
  const inner = (x: Tensor, y: Tensor, _ids: Tensor) => [mul(x, y), checkpoint((x) => tanh(x), add(x, y))] as const;
  const run = async (fn: typeof inner) => {
    for (const t of [a, b]) t.gradValid = false;
    scope(() => {
      const [p, q] = fn(a, b, ids);
      backward(sum(mul(p, q)));
    });
    return [[...((await a.grad?.data()) ?? [])], [...((await b.grad?.data()) ?? [])]];
  };
  expect(await run((x, y, ids) => checkpoint(inner, x, y, ids))).toEqual(await run(inner));
  scope(() => {
    const [, q] = checkpoint(inner, a, b, ids);
    a.gradValid = false;
    backward(sum(q));
  });
  expect(a.grad).not.toBeNull();
});

test("a computed tensor from outside must come in as an input", () => {
  const x = parameter([4], 1);
  const outside = tanh(x);
  const y = sum(checkpoint((x) => mul(x, outside), x));
  expect(() => backward(y)).toThrow(
    "checkpoint: the function uses a result of tanh from outside that needs a gradient; pass it as an input",
  );
  expect(() => checkpoint((x) => x, x)).toThrow(
    "checkpoint: the function returns one of its inputs; return what it computes from them",
  );
});
