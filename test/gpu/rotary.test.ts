import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { type RotaryOptions, rotary, rotaryPacked, rotaryTable } from "../../src/ops/attention/rotary.ts";
import { affine } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { at, numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** RoFormer's equation 34 in float64, on [B, T, H, D]; the first `turning` heads turn. */
function rotaryRef(x: Ref, positions: readonly number[], pairs: RotaryOptions["pairs"], turning: number): Ref {
  const [, T, H, D] = x.shape as [number, number, number, number];
  return ref(x.shape, (n) => {
    const [b, t, h, d] = [
      Math.floor(n / (T * H * D)),
      Math.floor(n / (H * D)) % T,
      Math.floor(n / D) % H,
      n % D,
    ] as const;
    if (h >= turning) return at(x, [b, t, h, d]);
    const halves = pairs === "halves";
    const pair = halves ? d % (D / 2) : Math.floor(d / 2);
    const second = halves ? d >= D / 2 : d % 2 === 1;
    const angle = ((positions[b % positions.length] as number) + t) * 10_000 ** ((-2 * pair) / D);
    const other = halves ? (d + D / 2) % D : d + (second ? -1 : 1);
    const [own, mate] = [at(x, [b, t, h, d]), at(x, [b, t, h, other])];
    return own * Math.cos(angle) + (second ? mate : -mate) * Math.sin(angle);
  });
}

const upload = (x: Ref): Tensor<"f32"> => tensor(device, Float32Array.from(x.data), x.shape);

for (const pairs of ["neighbours", "halves"] as const) {
  test(`turns ${pairs}, and turns gradients back`, async () => {
    for (const [B, T, H, D] of [
      [1, 1, 1, 2],
      [2, 7, 3, 6],
      [2, 33, 2, 16],
    ] as const) {
      const table = rotaryTable(device, D);
      await checkGradient(
        device,
        (x) => rotary(x, table, { position: 5, pairs }),
        (x) => rotaryRef(x, [5], pairs, H),
        [numbers([B, T, H, D])],
        { atol: 2e-6 },
      );
    }
  });
}

test("heads before tokens, and a position for each sequence", async () => {
  const [B, T, H, D] = [3, 5, 2, 8];
  const x = numbers([B, T, H, D]);
  const expected = rotaryRef(x, [0, 100, 7], "neighbours", H);
  const swap = (x: Ref): Ref =>
    ref([B, H, T, D], (n) =>
      at(x, [Math.floor(n / (H * T * D)), Math.floor(n / D) % T, Math.floor(n / (T * D)) % H, n % D]),
    );
  for (const position of [tensor(device, [0, 100, 7]), tensor(device, [0, 100, 7], [3], "u32")]) {
    const found = rotary(upload(swap(x)), rotaryTable(device, D), { position, layout: "BHTD" });
    expectClose(await found.data(), swap(expected).data, { atol: 2e-6 });
  }
});

test("turns queries and keys in a projection and leaves values alone", async () => {
  const [B, T, H, Hkv, D] = [2, 9, 4, 2, 6];
  const x = numbers([B, T, H + 2 * Hkv, D]);
  const table = rotaryTable(device, D);
  await checkGradient(
    device,
    (qkv) => rotaryPacked(qkv, H, table, { keyHeads: Hkv, position: 3 }),
    (qkv) => {
      const turned = rotaryRef(ref(x.shape, qkv.data), [3], "neighbours", H + Hkv);
      return ref(qkv.shape, turned.data);
    },
    [ref([B, T, (H + 2 * Hkv) * D], x.data)],
    { atol: 2e-6 },
  );
});

test("a distance is the same angle anywhere in a text, to the last bit of its table", async () => {
  const D = 64;
  const table = rotaryTable(device, D);
  const x = numbers([1, 1, 1, D]);
  const [one, two] = [upload(x), upload(x)];
  const product = async (first: number, second: number) => {
    const [q, k] = [
      await rotary(one, table, { position: first }).data(),
      await rotary(two, table, { position: second }).data(),
    ];
    return q.reduce((sum, value, d) => sum + value * (k[d] as number), 0);
  };
  const near = await product(0, 30);
  for (const far of [1e3, 1e6, 16e6]) expect(Math.abs((await product(far, far + 30)) - near)).toBeLessThan(2e-5);
  // Against float64, a long way from the start of a text.
  const expected = rotaryRef(x, [4096], "neighbours", 1);
  expectClose(await rotary(one, table, { position: 4096 }).data(), expected.data, { atol: 1e-5 });
});

test("a captured step counts on", async () => {
  const D = 8;
  const x = numbers([1, 1, 1, D]);
  const input = upload(x);
  const table = rotaryTable(device, D);
  const position = tensor(device, [0]);
  const plan = await capture(device, () => {
    const y = rotary(input, table, { position });
    const next = affine(position, 1, 1);
    device.copy(next.storage, position.storage, position.bytes);
    return y;
  });
  for (let t = 0; t < 4; t++) {
    plan.replay();
    expectClose(await plan.outputs.data(), rotaryRef(x, [t], "neighbours", 1).data, { atol: 2e-6, what: `step ${t}` });
  }
});

test("refuses what does not fit, in one sentence", () => {
  const x = tensor(device, new Float32Array(24), [1, 2, 2, 6]);
  const table = rotaryTable(device, 6);
  expect(() => rotaryTable(device, 7)).toThrow("heads of 7 elements do not divide into pairs");
  expect(() => rotaryTable(device, 8, 1)).toThrow("the base is 1");
  expect(() => rotary(x, rotaryTable(device, 8))).toThrow("the table is for heads of 8 elements and these have 6");
  expect(() => rotary(x, table, { position: tensor(device, [0, 1, 2]) })).toThrow(
    "the position is [3] and must be [1] or [1]",
  );
  expect(() => rotaryPacked(tensor(device, new Float32Array(20), [1, 20]), 3, table)).toThrow(
    "C a multiple of 3 + 2 x 3 heads",
  );
});
