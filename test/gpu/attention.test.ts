import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { attentionRef, type Sight, swapHeads } from "../../src/check/references/attention.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { attention, attentionWithLse } from "../../src/ops/attention/attention.ts";
import { naiveAttention } from "../../src/ops/attention/naive.ts";
import { attentionPacked } from "../../src/ops/attention/packed.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { at, numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
/** Its tiles are small, so that short sequences have several; emulations also compile such kernels faster. */
let modest: Device;
beforeAll(async () => {
  const gpu = await getGpu();
  device = await openDevice({ gpu });
  modest = await openDevice({ gpu });
  const { maxComputeWorkgroupsPerDimension } = modest.limits;
  Object.defineProperty(modest, "limits", {
    value: { maxComputeWorkgroupsPerDimension, maxComputeWorkgroupStorageSize: 6144 },
  });
});

type Form = "direct" | "tiled";
const FORMS: readonly Form[] = ["direct", "tiled"];
/** Batch, query heads, key heads, queries, keys, head size. */
type Sizes = readonly [B: number, H: number, Hkv: number, Tq: number, Tk: number, D: number];

const leaf = (on: Device, x: Ref): Tensor<"f32"> => {
  const y = tensor(on, Float32Array.from(x.data), x.shape);
  y.requiresGrad = true;
  return y;
};
const upload = (on: Device, x: Ref) => tensor(on, Float32Array.from(x.data), x.shape);

function inputs([B, H, Hkv, Tq, Tk, D]: Sizes) {
  return {
    q: numbers([B, H, Tq, D], -2, 2, 1),
    k: numbers([B, Hkv, Tk, D], -2, 2, 2),
    v: numbers([B, Hkv, Tk, D], -2, 2, 3),
    dout: numbers([B, H, Tq, D], -1, 1, 4),
    dlse: numbers([B, H, Tq], -1, 1, 5),
  };
}

function optionsOf(on: Device, { window, scale, causal, lengths, keyMask, slopes }: Sight) {
  return {
    ...(window && { window }),
    ...(scale !== undefined && { scale }),
    ...(causal !== undefined && { causal }),
    ...(lengths && { lengths: tensor(on, lengths, [lengths.length], "u32") }),
    ...(keyMask && { keyMask: tensor(on, keyMask, undefined, "u32") }),
    ...(slopes && { slopes: tensor(on, slopes) }),
  };
}

const bitsOf = (results: readonly Tensor[]) =>
  Promise.all(results.map(async (result) => new Uint32Array((await result.data()).buffer)));

/** Values and gradients of both outputs against float64. */
async function check(on: Device, form: Form, sizes: Sizes, sight: Sight = {}): Promise<void> {
  const { q, k, v, dout, dlse } = inputs(sizes);
  const expected = attentionRef(q, k, v, dout, sight, dlse);
  const leaves = [leaf(on, q), leaf(on, k), leaf(on, v)] as const;
  const bias = sight.bias ? leaf(on, sight.bias) : null;
  const { out, lse } = attentionWithLse(...leaves, { ...optionsOf(on, sight), bias, form });
  // A row without keys has no finite lse to differentiate.
  const upstream = ref(dlse.shape, (i) => (Number.isFinite(expected.lse.data[i]) ? (dlse.data[i] as number) : 0));
  backward([out, lse], [upload(on, dout), upload(on, upstream)]);
  const what = `${form} ${sizes}`;
  expectClose(await out.data(), expected.out.data, { what: `out of ${what}` });
  expectClose(await lse.data(), expected.lse.data, { what: `lse of ${what}` });
  for (const [i, name] of (["dq", "dk", "dv"] as const).entries()) {
    expectClose((await leaves[i]?.grad?.data()) ?? [], expected[name].data, { atol: 3e-5, what: `${name} of ${what}` });
  }
  if (bias)
    expectClose((await bias.grad?.data()) ?? [], expected.dbias?.data ?? [], { atol: 3e-5, what: `dbias of ${what}` });
}

/** A mask in which every fifth key is hidden. */
const holes = (B: number, Tk: number) =>
  Array.from({ length: B }, (_, b) => Array.from({ length: Tk }, (_, j) => ((3 * j + b) % 5 === 0 ? 0 : 1)));

/** All options that do not exclude each other: a test that uses them notices the loss of any. */
const MANY = [2, 4, 2, 33, 45, 36] as const;
const EVERYTHING = {
  causal: true,
  window: [20, -1],
  scale: 0.4,
  slopes: [0.5, 0.25, 0.1, 0.02],
  keyMask: holes(2, 45),
} as const;

/** A bias that hides some keys, and all of query 3. */
const biasOf = (shape: readonly [number, number, number, number]) => {
  const values = numbers(shape, -2, 2, 6).data;
  const hides = (i: number) => i % 11 === 4 || Math.floor(i / shape[3]) % shape[2] === 3;
  return ref(shape, (i) => (hides(i) ? Number.NEGATIVE_INFINITY : (values[i] as number)));
};

describe.each(FORMS)("%s", (form) => {
  test("vectors: grouped heads, ALiBi, a window, a mask with holes, more keys than queries", async () => {
    await check(modest, form, MANY, EVERYTHING);
  });

  test("elements: an odd head size, lengths, more queries than keys", async () => {
    await check(modest, form, [3, 2, 2, 21, 17, 7], { lengths: [17, 5, 0], bias: biasOf([1, 2, 21, 17]) });
    await check(modest, form, [1, 1, 1, 1, 1, 7], { lengths: [1] });
    await check(modest, form, [1, 3, 1, 9, 70, 7], { lengths: [66] });
    // Wider than an invocation sums in registers.
    if (form === "direct") await check(device, form, [2, 2, 1, 5, 9, 201], { causal: true });
  });

  test("twice the same bits", async () => {
    const { q, k, v, dout } = inputs(MANY);
    const run = async () => {
      const leaves = [leaf(modest, q), leaf(modest, k), leaf(modest, v)] as const;
      const out = attention(...leaves, { ...optionsOf(modest, EVERYTHING), form });
      backward(out, upload(modest, dout));
      return bitsOf([out, ...leaves.map((x) => x.grad as Tensor)]);
    };
    expect(await run()).toEqual(await run());
  });

  test("the same bits from one launch and from one for every tile", async () => {
    const { q, k, v, dout } = inputs([1, 2, 1, 70, 75, 8]);
    const bias = biasOf([1, 1, 70, 75]);
    const run = async (launchWork?: number) => {
      const leaves = [leaf(modest, q), leaf(modest, k), leaf(modest, v), leaf(modest, bias)] as const;
      const before = modest.stats.dispatches;
      const options = { causal: true, bias: leaves[3], form, ...(launchWork && { launchWork }) };
      const out = attention(leaves[0], leaves[1], leaves[2], options);
      backward(out, upload(modest, dout));
      const bits = await bitsOf([out, ...leaves.map((leaf) => leaf.grad as Tensor)]);
      return { bits, launches: modest.stats.dispatches - before };
    };
    const [whole, cut] = [await run(), await run(1)];
    expect(cut.bits).toEqual(whole.bits);
    // Each of the four kernels has at least two tiles.
    expect(cut.launches - whole.launches).toBeGreaterThanOrEqual(4);
  });

  test("O03, O14: rows that see nothing, and the diagonal ends at the last key", async () => {
    const two = (values: number[][][][]) => tensor(modest, values);
    const causal = attentionWithLse(
      two([
        [
          [
            [1, 0],
            [0, 1],
          ],
        ],
      ]),
      two([[[[1, 0]]]]),
      two([[[[1, 2]]]]),
      { causal: true, form },
    );
    expect([...(await causal.out.data())]).toEqual([0, 0, 1, 2]);
    expect((await causal.lse.data())[0]).toBe(Number.NEGATIVE_INFINITY);
    const uniform = (queries: number, values: number[], window?: [number, number]) => {
      const zeros = (rows: number) => tensor(modest, new Float32Array(rows), [1, 1, rows, 1]);
      return attention(zeros(queries), zeros(values.length), tensor(modest, values, [1, 1, values.length, 1]), {
        causal: true,
        form,
        ...(window && { window }),
      });
    };
    expectClose(await uniform(2, [1, 2, 4]).data(), [1.5, 7 / 3]);
    expectClose(await uniform(4, [1, 2]).data(), [0, 0, 1, 1.5]);
    expectClose(await uniform(1, [1, 2, 3, 4, 5]).data(), [3]);
    expectClose(await uniform(2, [1, 2, 4], [1, -1]).data(), [1.5, 3]);
  });

  test("what a mask hides may be NaN", async () => {
    const { q, k, v, dout } = inputs([1, 1, 1, 5, 9, 36]);
    const spoil = (x: Ref) => ref(x.shape, (i) => (Math.floor(i / 36) % 3 === 1 ? Number.NaN : (x.data[i] as number)));
    const sight = { keyMask: [Array.from({ length: 9 }, (_, j) => (j % 3 === 1 ? 0 : 1))], slopes: [0.3] };
    const expected = attentionRef(q, k, v, dout, sight);
    const leaves = [leaf(modest, q), leaf(modest, spoil(k)), leaf(modest, spoil(v))] as const;
    const out = attention(...leaves, { ...optionsOf(modest, sight), form });
    backward(out, upload(modest, dout));
    expectClose(await out.data(), expected.out.data);
    expectClose((await leaves[0].grad?.data()) ?? [], expected.dq.data);
    expectClose((await leaves[1].grad?.data()) ?? [], expected.dk.data);
  });
});

test("O03: the published numbers", async () => {
  const mask = [
    [0, 0],
    [1, 1],
  ];
  const rows = (values: number[][]) => values.map((row) => [[row]]);
  const both = (values: number[][]) => [[values], [values]];
  const q = tensor(
    device,
    rows([
      [1, 0],
      [0, 1],
    ]),
  );
  const k = tensor(
    device,
    both([
      [1, 0],
      [0, 1],
    ]),
  );
  const v = tensor(
    device,
    both([
      [1, 2],
      [3, 4],
    ]),
  );
  for (const x of [q, k, v]) x.requiresGrad = true;
  const out = attention(q, k, v, { keyMask: tensor(device, mask, [2, 2], "u32") });
  backward(
    out,
    tensor(
      device,
      rows([
        [1, 1],
        [1, 2],
      ]),
    ),
  );
  expectClose(await out.data(), [0, 0, 2.3395231, 3.3395231]);
  expectClose((await q.grad?.data()) ?? [], [0, 0, -0.9383916, 0.9383916]);
  expectClose((await k.grad?.data()) ?? [], [0, 0, 0, 0, 0, -0.9383916, 0, 0.9383916]);
  expectClose((await v.grad?.data()) ?? [], [0, 0, 0, 0, 0.3302385, 0.6604769, 0.6697615, 1.3395231]);
});

test("the naive way gives the same", async () => {
  const { q, k, v, dout } = inputs(MANY);
  const expected = attentionRef(q, k, v, dout, EVERYTHING);
  const leaves = [leaf(device, q), leaf(device, k), leaf(device, v)] as const;
  const out = naiveAttention(...leaves, optionsOf(device, EVERYTHING));
  backward(out, upload(device, dout));
  expectClose(await out.data(), expected.out.data);
  for (const [i, name] of (["dq", "dk", "dv"] as const).entries())
    expectClose((await leaves[i]?.grad?.data()) ?? [], expected[name].data, { atol: 3e-5, what: name });

  const bias = biasOf([2, 1, 33, 45]);
  const biased = naiveAttention(upload(device, q), upload(device, k), upload(device, v), {
    bias: upload(device, bias),
  });
  expectClose(await biased.data(), attentionRef(q, k, v, dout, { bias }).out.data, { what: "with a bias" });
});

test("O11: no keys, no queries, no batch", async () => {
  const run = async (sizes: Sizes) => {
    const { q, k, v } = inputs(sizes);
    const leaves = [leaf(device, q), leaf(device, k), leaf(device, v)] as const;
    const out = attention(...leaves);
    backward(out, ones(device, out.shape));
    const grads = await Promise.all(leaves.map(async (x) => [...((await x.grad?.data()) ?? [Number.NaN])]));
    return { out: [...(await out.data())], grads };
  };
  const zeros = (n: number) => new Array<number>(n).fill(0);
  expect(await run([1, 2, 1, 3, 0, 4])).toEqual({ out: zeros(24), grads: [zeros(24), [], []] });
  expect(await run([1, 2, 1, 0, 3, 4])).toEqual({ out: [], grads: [[], zeros(12), zeros(12)] });
  expect(await run([0, 2, 1, 3, 3, 4])).toEqual({ out: [], grads: [[], [], []] });
});

test("reads heads where a projection left them, and writes their gradient there", async () => {
  const sizes = [2, 4, 2, 9, 9, 8] as const;
  const [B, H, Hkv, T, , D] = sizes;
  const { q, k, v, dout } = inputs(sizes);
  const expected = attentionRef(q, k, v, dout, { causal: true });
  const [tq, tk, tv, tdout] = [q, k, v, dout].map(swapHeads) as [Ref, Ref, Ref, Ref];
  const leaves = [leaf(device, tq), leaf(device, tk), leaf(device, tv)] as const;
  const out = attention(...leaves, { causal: true, layout: "BTHD" });
  backward(out, upload(device, tdout));
  expectClose(await out.data(), swapHeads(expected.out).data);
  expectClose((await leaves[1].grad?.data()) ?? [], swapHeads(expected.dk).data);

  const columns = (H + 2 * Hkv) * D;
  const pack = (x: Ref, y: Ref, z: Ref) =>
    ref([B, T, columns], (i) => {
      const [b, t, head, d] = [
        Math.floor(i / columns / T),
        Math.floor(i / columns) % T,
        Math.floor((i % columns) / D),
        i % D,
      ];
      if (head < H) return at(x, [b, head, t, d]);
      return head < H + Hkv ? at(y, [b, head - H, t, d]) : at(z, [b, head - H - Hkv, t, d]);
    });
  const qkv = leaf(device, pack(q, k, v));
  const packed = attentionPacked(qkv, H, { keyHeads: Hkv, causal: true });
  expect(packed.shape).toEqual([B, T, H * D]);
  backward(packed, tensor(device, Float32Array.from(tdout.data), packed.shape));
  expectClose(await packed.data(), swapHeads(expected.out).data);
  expectClose((await qkv.grad?.data()) ?? [], pack(expected.dq, expected.dk, expected.dv).data);
});
