import { beforeAll, expect, test } from "vitest";
import { attentionRef, type Sight, swapHeads } from "../../src/check/references/attention.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { cacheOf, cacheShape, checkRoom, createCache } from "../../src/ops/attention/cache.ts";
import { type DecodeOptions, decodeAttention, decodePacked, prefillPacked } from "../../src/ops/attention/decode.ts";
import { affine } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { empty, ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { at, numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const B = 2;
const H = 4;
const Hkv = 2;

/** q, k, v of T tokens, the projection that holds all three, and what attention to all of them gives. */
function story(T: number, D: number, sight: Sight = {}) {
  const [q, k, v] = [
    numbers([B, H, T, D], -2, 2, 1),
    numbers([B, Hkv, T, D], -2, 2, 2),
    numbers([B, Hkv, T, D], -2, 2, 3),
  ];
  const columns = (H + 2 * Hkv) * D;
  const qkv = ref([B, T, columns], (i) => {
    const [b, t, head, d] = [
      Math.floor(i / columns / T),
      Math.floor(i / columns) % T,
      Math.floor((i % columns) / D),
      i % D,
    ];
    if (head < H) return at(q, [b, head, t, d]);
    return head < H + Hkv ? at(k, [b, head - H, t, d]) : at(v, [b, head - H - Hkv, t, d]);
  });
  const { out } = attentionRef(q, k, v, q, { causal: true, ...sight });
  return { q, k, v, qkv, out: swapHeads(out) };
}

/** Tokens `from` to `to` of (B, T, C). */
function cut(x: Ref, from: number, to: number): Float32Array<ArrayBuffer> {
  const [, T, ...rest] = x.shape as [number, number, ...number[]];
  const C = rest.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: B * (to - from) * C }, (_, i) => {
    const [b, t, c] = [Math.floor(i / C / (to - from)), Math.floor(i / C) % (to - from), i % C];
    return x.data[(b * T + from + t) * C + c] as number;
  });
}

/** Reads tokens in chunks of these lengths (1: the decoding kernel) and compares with attention to the whole. */
async function tell(
  T: number,
  D: number,
  capacity: number,
  chunks: readonly number[],
  options: DecodeOptions & { half?: boolean; atol?: number } = {},
) {
  const { half = false, atol = 1e-5, ...rest } = options;
  const { qkv, out } = story(T, D, rest.window ? { window: [rest.window - 1, 0] } : {});
  const cache = createCache(device, { batch: B, keyHeads: Hkv, size: D, capacity }, { half });
  let seen = 0;
  for (const length of chunks) {
    const rows = cut(qkv, seen, seen + length);
    const columns = (H + 2 * Hkv) * D;
    const found = scope(() =>
      length === 1
        ? decodePacked(tensor(device, rows, [B, columns]), H, cache, tensor(device, [seen], [1], "u32"), rest)
        : prefillPacked(tensor(device, rows, [B, length, columns]), H, cache, seen, rest),
    );
    expectClose(await found.data(), cut(out, seen, seen + length), {
      atol,
      what: `tokens ${seen} to ${seen + length}`,
    });
    found.dispose();
    seen += length;
  }
  expect(seen).toBe(T);
}

test("O15: token by token, in chunks and as a whole", async () => {
  await tell(9, 8, 16, [1, 1, 1, 1, 1, 1, 1, 1, 1]);
  await tell(33, 8, 33, [1, 2, 17, 1, 12]);
  await tell(33, 8, 64, [33]);
});

test("head sizes that are no multiple of four", async () => {
  await tell(7, 7, 8, [3, 1, 1, 2]);
});

test("a ring shorter than the text, with a window", async () => {
  await tell(30, 8, 8, [1, 3, ...new Array<number>(10).fill(1), 4, 4, ...new Array<number>(8).fill(1)], { window: 5 });
});

test("keys split over workgroups", async () => {
  for (const splits of [2, 3, 7]) await tell(20, 8, 32, [12, 1, 1, 1, 1, 1, 1, 1, 1], { splits });
});

test("one query over more keys than a round, in one workgroup and in several", async () => {
  const T = 1500;
  const D = 8;
  const [q, k, v] = [
    numbers([B, H, 1, D], -2, 2, 1),
    numbers([B, Hkv, T, D], -2, 2, 2),
    numbers([B, Hkv, T, D], -2, 2, 3),
  ];
  const { out } = attentionRef(q, k, v, q);
  const sizes = { batch: B, keyHeads: Hkv, size: D, capacity: 2048 };
  // The cache as it is after T - 1 tokens.
  const slots = ref(cacheShape(sizes), (i) => {
    const [kind, b, h, t, d] = [
      Math.floor(i / (B * Hkv * 2048 * D)),
      Math.floor(i / (Hkv * 2048 * D)) % B,
      Math.floor(i / (2048 * D)) % Hkv,
      Math.floor(i / D) % 2048,
      i % D,
    ];
    return t < T - 1 ? at(kind === 0 ? k : v, [b, h, t, d]) : Number.NaN;
  });
  const last = (x: Ref, heads: number) =>
    tensor(
      device,
      Float32Array.from({ length: B * heads * D }, (_, i) =>
        at(x, [Math.floor(i / heads / D), Math.floor(i / D) % heads, (x.shape[2] as number) - 1, i % D]),
      ),
      [B, heads, D],
    );
  for (const splits of [1, 2, 5]) {
    const cache = cacheOf(tensor(device, Float32Array.from(slots.data), slots.shape), sizes);
    const found = decodeAttention(last(q, H), last(k, Hkv), last(v, Hkv), cache, tensor(device, [T - 1], [1], "u32"), {
      splits,
    });
    expectClose(await found.data(), out.data, { what: `${splits} splits` });
  }
});

test("half storage takes half the memory and stays close", async () => {
  await tell(20, 8, 32, [10, 1, 1, 8], { half: true, atol: 5e-3 });
  const sizes = { batch: 1, keyHeads: 1, size: 64, capacity: 1024 };
  expect(createCache(device, sizes, { half: true }).slots.bytes * 2).toBe(createCache(device, sizes).slots.bytes);
});

test("halves are kept to the last bit, and what would overflow becomes the largest", async () => {
  const cache = createCache(device, { batch: 1, keyHeads: 1, size: 4, capacity: 2 }, { half: true });
  const row = (...values: number[]) => tensor(device, values, [1, 1, 4]);
  const found = decodeAttention(
    row(0, 0, 0, 0),
    row(1, 1, 1, 1),
    row(1e6, -1e6, 0.333251953125, 2048),
    cache,
    tensor(device, [0], [1], "u32"),
  );
  expect([...(await found.data())]).toEqual([65504, -65504, 0.333251953125, 2048]);
});

test("sequences of different lengths, and counts in f32", async () => {
  const D = 8;
  const { qkv, out } = story(6, D);
  const cache = createCache(device, { batch: B, keyHeads: Hkv, size: D, capacity: 8 });
  const columns = (H + 2 * Hkv) * D;
  // Sequence 0 is at token 5, sequence 1 at token 2: the second writes over the tokens that the first pass left there.
  prefillPacked(tensor(device, cut(qkv, 0, 5), [B, 5, columns]), H, cache, 0);
  const rows = new Float32Array([...cut(qkv, 5, 6).slice(0, columns), ...cut(qkv, 2, 3).slice(columns)]);
  const found = await decodePacked(tensor(device, rows, [B, columns]), H, cache, tensor(device, [5, 2])).data();
  expectClose(found.slice(0, H * D), cut(out, 5, 6).slice(0, H * D));
  expectClose(found.slice(H * D), cut(out, 2, 3).slice(H * D));
});

test("a captured step counts on by itself", async () => {
  const D = 8;
  const T = 6;
  const { qkv, out } = story(T, D);
  const columns = (H + 2 * Hkv) * D;
  const cache = createCache(device, { batch: B, keyHeads: Hkv, size: D, capacity: 8 });
  const token = empty(device, [B, columns]);
  const position = tensor(device, [0]);
  const plan = await capture(device, () => {
    const y = decodePacked(token, H, cache, position);
    const next = affine(position, 1, 1);
    device.copy(next.storage, position.storage, position.bytes);
    return y;
  });
  for (let t = 0; t < T; t++) {
    token.write(cut(qkv, t, t + 1));
    plan.replay();
    expectClose(await plan.outputs.data(), cut(out, t, t + 1), { what: `token ${t}` });
  }
});

test("refuses what does not fit, in one sentence, and leaves the cache as it is", async () => {
  const sizes = { batch: 1, keyHeads: 2, size: 8, capacity: 16 };
  const cache = createCache(device, sizes);
  const zero = tensor(device, [0], [1], "u32");
  // Not fresh memory, whose zeros would hide that a refused token was written into the cache.
  const rows = (columns: number) => ones(device, [1, columns]);
  const before = await cache.slots.data();
  expect(() => createCache(device, { ...sizes, capacity: 0 })).toThrow(
    "createCache: capacity is 0 and must be a whole number of 1 or more",
  );
  expect(() => checkRoom("generate", cache, 10, 7)).toThrow(
    "generate: the cache is full: it holds 16 tokens, and 10 + 7 are to be seen",
  );
  expect(() => checkRoom("generate", cache, 10, 6)).not.toThrow();
  expect(() => checkRoom("generate", cache, 1000, 9, 9)).toThrow("a window of 9 with 9 new tokens needs 17");
  expect(() => checkRoom("generate", cache, 1000, 8, 9)).not.toThrow();
  expect(() => prefillPacked(ones(device, [1, 9, 64]), 4, cache, 8)).toThrow("prefillPacked: the cache is full");
  expect(() => decodePacked(rows(60), 4, cache, zero)).toThrow(
    "qkv is [1, 60] and must be [1, 64] for 4 + 2 x 2 heads of 8",
  );
  expect(() => decodePacked(rows(56), 3, cache, zero)).toThrow("3 query heads do not divide into 2 key heads");
  expect(() => decodePacked(rows(64), 4, cache, tensor(device, [0, 0, 0]))).toThrow(
    "the position is [3] and must be [1] or [1]",
  );
  expect(() => decodePacked(rows(64), 4, cache, zero, { window: 0 })).toThrow("a window of 0 keys shows no key");
  expect(() =>
    decodeAttention(ones(device, [1, 4, 4]), ones(device, [1, 2, 8]), ones(device, [1, 2, 8]), cache, zero),
  ).toThrow("q is [1, 4, 4] and must be [1, H, 8]");
  expect(() => decodePacked(rows(64), 4, cache, zero, { splits: 0 })).toThrow(
    "splits is 0 and must be a whole number of 1 or more",
  );
  expect(() => prefillPacked(ones(device, [1, 2, 64]), 4, cache, 0, { scale: Number.NaN })).toThrow("is not finite");
  expect(() => prefillPacked(ones(device, [1, 2, 56]), 3, cache, 0)).toThrow("3 query heads do not divide");
  expect(await cache.slots.data()).toEqual(before);
});
