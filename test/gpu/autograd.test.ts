import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { detach, record } from "../../src/autograd/graph.ts";
import { enableGrad, noGrad } from "../../src/autograd/mode.ts";
import type { Device } from "../../src/gpu/device.ts";
import { DisposedError, ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add, mul, sub } from "../../src/ops/binary.ts";
import { mean, sum } from "../../src/ops/reduce.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { split } from "../../src/ops/slice.ts";
import { exp, square, tanh } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { fill, ones, tensor } from "../../src/tensor/create.ts";
import { keep, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { share } from "../../src/tensor/view.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { numbers } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** A device of its own for tests that count bytes: the garbage of others would show. */
async function withDevice(run: (own: Device) => void | Promise<void>): Promise<void> {
  const own = await openDevice({ gpu: await getGpu() });
  try {
    await run(own);
  } finally {
    own.destroy();
  }
}

function leaf(values: number | number[], on = device): Tensor<"f32"> {
  const made = tensor(on, values);
  made.requiresGrad = true;
  return made;
}

const gradOf = async (x: Tensor) => [...((await x.grad?.data()) ?? [])];

test("a value used twice gets both gradients; detach cuts one off (O19)", async () => {
  const [w, x] = [leaf(3), leaf(2)];
  backward(mul(w, mul(w, x)));
  expect([await gradOf(w), await gradOf(x)]).toEqual([[12], [9]]);
  w.gradValid = false;
  backward(mul(w, detach(mul(w, x))));
  expect(await gradOf(w)).toEqual([6]);
  x.gradValid = false;
  backward(add(mul(x, x), x));
  expect(await gradOf(x)).toEqual([5]);
});

test("backward adds to gradients until they are cleared", async () => {
  const x = leaf([1, 2]);
  for (let i = 0; i < 3; i++) scope(() => backward(sum(square(x))));
  expect(await gradOf(x)).toEqual([6, 12]);
  x.gradValid = false;
  expect(x.grad).toBeNull();
  scope(() => backward(sum(square(x))));
  expect(await gradOf(x)).toEqual([2, 4]);
});

test("tied uses add up to what two copies get apart (O19)", async () => {
  const values = [0.5, -1, 2];
  const [tied, first, second] = [leaf(values), leaf(values), leaf(values)];
  const loss = (a: Tensor, b: Tensor) => sum(mul(tanh(a), exp(b)));
  backward(loss(tied, tied));
  backward(loss(first, second));
  const [a, b] = [await gradOf(first), await gradOf(second)];
  expectClose(
    await gradOf(tied),
    a.map((v, i) => v + (b[i] as number)),
    { rtol: 1e-6, atol: 1e-6 },
  );
});

test("a second backward is an error; with retainGraph it doubles exactly (O19)", async () => {
  const x = leaf([0.3, -0.7]);
  const y = sum(tanh(x));
  backward(y, undefined, { retainGraph: true });
  const once = await gradOf(x);
  backward(y);
  expect(await gradOf(x)).toEqual(once.map((v) => 2 * v));
  expect(() => backward(y)).toThrow(DisposedError);
  expect(() => backward(y)).toThrow(
    "the graph of sum was used up by an earlier backward; run the forward pass again or pass { retainGraph: true } the first time",
  );
  expect(await gradOf(x)).toEqual(once.map((v) => 2 * v));
});

test("an in-place change of a saved value is an error, and nothing is half done (O19)", async () => {
  const x = leaf([1, 2]);
  const y = sum(square(x));
  x.write([5, 6]);
  expect(() => backward(y)).toThrow(
    "backward: a value that square saved was overwritten in place since; run backward before changing it",
  );
  expect(x.grad).toBeNull();
  const z = sum(square(x));
  fill(x, 3);
  expect(() => backward(z)).toThrow(ValueError);
  const fresh = sum(square(x));
  backward(fresh);
  expect(await gradOf(x)).toEqual([6, 6]);
});

test("so is a change through the buffer that it is a window of", () => {
  const flat = ones(device, [128]);
  const x = share(flat, [64]);
  x.rebase(flat.storage.window(256, 256));
  x.requiresGrad = true;
  const y = sum(square(x));
  fill(flat, 2);
  expect(() => backward(y)).toThrow("overwritten in place");
});

test("a value that is not saved may change", async () => {
  const x = leaf([1, 2]);
  const y = sum(add(x, x));
  x.write([5, 6]);
  backward(y);
  expect(await gradOf(x)).toEqual([2, 2]);
});

test("several roots in one pass, with upstream gradients; unused outputs count as zero", async () => {
  const x = leaf([1, 2, 3, 4]);
  const [a, b] = split(square(x), [1, 3]);
  backward([a as Tensor, b as Tensor], [tensor(device, [10]), tensor(device, [1, 2, 3])]);
  expect(await gradOf(x)).toEqual([20, 4, 12, 24]);
  x.gradValid = false;
  const [, last] = split(square(x), [2, 2]);
  backward(sum(last as Tensor));
  expect(await gradOf(x)).toEqual([0, 0, 6, 8]);
});

test("an upstream gradient is left as it was", async () => {
  const [x, y] = [leaf([1, 2]), leaf([3, 4])];
  const dy = tensor(device, [1, 10]);
  backward(add(add(x, y), add(x, y)), dy);
  expect([await gradOf(x), await gradOf(y)]).toEqual([
    [2, 20],
    [2, 20],
  ]);
  expect([...(await dy.data())]).toEqual([1, 10]);
  const z = leaf([5]);
  backward(z, tensor(device, [7]));
  expect(await gradOf(z)).toEqual([7]);
});

test("what cannot be differentiated is said", () => {
  const x = leaf([1, 2]);
  expect(() => backward(ones(device, []))).toThrow(
    "backward: the tensor does not depend on anything that requires a gradient",
  );
  expect(() => backward(square(x))).toThrow(
    "backward: the tensor is [2]; reduce it to one element (sum, mean) or pass an upstream gradient of its shape",
  );
  expect(() => backward(square(x), ones(device, [3]))).toThrow(ShapeError);
  const y = sum(x);
  y.dispose();
  expect(() => backward(y)).toThrow("backward: the tensor [] was disposed");
});

test("noGrad records nothing, enableGrad does inside it", () => {
  const x = leaf([1]);
  const y = noGrad(() => square(x));
  expect([y.requiresGrad, y.origin]).toEqual([false, null]);
  expect(noGrad(() => enableGrad(() => square(x))).requiresGrad).toBe(true);
  expect(() =>
    noGrad(() => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(square(x).requiresGrad).toBe(true);
});

test("intermediates may be disposed before backward", async () => {
  const x = leaf([0.1, 0.2]);
  const y = scope(() => sum(square(tanh(exp(x)))));
  backward(y);
  const slope = (v: number) => 2 * Math.tanh(Math.exp(v)) * (1 - Math.tanh(Math.exp(v)) ** 2) * Math.exp(v);
  expectClose(await gradOf(x), [slope(0.1), slope(0.2)]);
});

test("a leaf that was disposed gets nothing and hinders nobody", () =>
  withDevice(async (own) => {
    const [x, y] = [leaf([1, 2], own), leaf([3, 4], own)];
    const z = scope(() => sum(add(x, y)));
    x.dispose();
    backward(z);
    expect(await gradOf(y)).toEqual([1, 1]);
    z.dispose();
    y.dispose();
    expect(own.stats.memory.live).toBe(0);
  }));

test("memory of a graph comes back when its outputs go, without backward", () =>
  withDevice((own) => {
    const x = leaf([...numbers([1000]).data], own);
    const { live } = own.stats.memory;
    const y = scope(() => sum(tanh(square(exp(x)))));
    expect(own.stats.memory.live).toBeGreaterThan(live + 8000);
    y.dispose();
    expect(own.stats.memory.live).toBe(live);
    const z = scope(() => sum(tanh(exp(x))));
    backward(z, undefined, { retainGraph: true });
    z.dispose();
    expect(own.stats.memory.live).toBe(live + (x.gradSlot?.storage.bytes ?? 0));
  }));

test("a backward that throws gives back what it held", () =>
  withDevice((own) => {
    const x = leaf([1, 2], own);
    const before = own.stats.memory.live;
    const y = scope(() => {
      const h = square(x);
      const odd = share(h);
      record("odd", [odd], [h], [h], () => {
        throw new Error("no gradient");
      });
      return sum(odd);
    });
    expect(() => backward(y)).toThrow("no gradient");
    y.dispose();
    expect(own.stats.memory.live).toBe(before);
  }));

test("scopes dispose what is not returned, also on errors, and nest", () =>
  withDevice((own) => {
    const kept = scope(() => {
      const inner = scope(() => ({ list: [ones(own, [4])], other: ones(own, [4]).shape }));
      return keep(add(inner.list[0] as Tensor, 1));
    });
    expect(kept.disposed).toBe(false);
    kept.dispose();
    expect(() =>
      scope(() => {
        ones(own, [400]);
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(own.stats.memory.live).toBe(0);
    expect(() => scope(async () => ones(own, [4]))).toThrow(
      "scope: the function is async; await outside the scope and return tensors from it",
    );
    const x = ones(own, [4]);
    x.dispose();
    expect(() => add(x, 1)).toThrow(DisposedError);
    expect(own.stats.memory.live).toBe(0);
  }));

/** Some steps of gradient descent on a curve; everything in tensors. */
function descent(on: Device) {
  const weight = leaf([...numbers([65], -1, 1, 3).data], on);
  const target = tensor(on, [...numbers([65], -1, 1, 4).data]);
  const rate = tensor(on, 0.1);
  return {
    weight,
    target,
    rate,
    step: () => {
      weight.gradValid = false;
      const loss = mean(square(sub(tanh(weight), target)));
      backward(loss);
      const next = noGrad(() => sub(weight, mul(weight.grad as Tensor, rate)));
      on.copy(next.storage, weight.storage, 65 * 4);
      return loss;
    },
    dispose: () => {
      for (const t of [weight, target, rate]) t.dispose();
    },
  };
}

test("1,000 eager steps leave live bytes where they were after the tenth", () =>
  withDevice(async (own) => {
    const { step, dispose } = descent(own);
    let live = 0;
    for (let i = 1; i <= 1000; i++) {
      scope(() => void step());
      if (i === 10) live = own.stats.memory.live;
    }
    expect(own.stats.memory.live).toBe(live);
    await own.sync();
    dispose();
    expect(own.stats.memory.live).toBe(0);
  }));

test("a captured step equals the eager one bit for bit, follows its inputs, and gives its memory back", () =>
  withDevice(async (own) => {
    const eager = descent(own);
    const captured = descent(own);
    const plan = await capture(own, captured.step);
    const [losses, replayed]: [number[], number[]] = [[], []];
    for (let i = 0; i < 4; i++) {
      if (i === 2) {
        for (const { target, rate } of [eager, captured]) {
          target.write(new Float32Array(65).fill(0.5));
          rate.write([0.05]);
        }
      }
      using loss = scope(eager.step);
      losses.push(await loss.item());
      plan.replay();
      replayed.push(await plan.outputs.item());
    }
    expect(replayed).toEqual(losses);
    expect([...(await captured.weight.data())]).toEqual([...(await eager.weight.data())]);
    expect(await gradOf(captured.weight)).toEqual(await gradOf(eager.weight));
    plan.dispose();
    expect(() => plan.replay()).toThrow("replay: the plan was disposed; capture the function again");
    expect([...(await plan.outputs.data())]).toEqual(replayed.slice(-1));
    plan.outputs.dispose();
    eager.dispose();
    captured.dispose();
    expect(own.stats.memory.live).toBe(0);
  }));

test("a replay counts as a write in place", async () => {
  const x = leaf([1, 2]);
  const other = ones(device, [2]);
  const plan = await capture(device, () => void device.copy(other.storage, x.storage, 8));
  const y = sum(square(x));
  plan.replay();
  expect(() => backward(y)).toThrow("overwritten in place");
  plan.dispose();
});

test("two devices share nothing", async () => {
  const second = await openDevice({ gpu: await getGpu() });
  const [a, b] = [descent(device), descent(second)];
  const [p, q] = [await capture(device, a.step), await capture(second, b.step)];
  for (let i = 0; i < 3; i++) {
    p.replay();
    q.replay();
  }
  expect([...(await a.weight.data())]).toEqual([...(await b.weight.data())]);
  expect(() => add(a.weight, b.weight)).toThrow(
    "binary.forward: the tensor bound as b belongs to another device; create it on this one or copy it through data()",
  );
  second.destroy();
  await expect(b.weight.data()).rejects.toThrow("destroyed");
  expect(await reshape(a.weight, [65, 1]).data()).toHaveLength(65);
  p.dispose();
  a.dispose();
});
