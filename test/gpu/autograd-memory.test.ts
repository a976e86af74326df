import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { record } from "../../src/autograd/graph.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import type { Device } from "../../src/gpu/device.ts";
import { DisposedError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add, mul, sub } from "../../src/ops/binary.ts";
import { mean, sum } from "../../src/ops/reduce.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { exp, square, tanh } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { keep, scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { share } from "../../src/tensor/view.ts";
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
