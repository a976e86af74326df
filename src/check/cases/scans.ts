import { noGrad } from "../../autograd/mode.ts";
import { fadingAttention } from "../../ops/retention/fading.ts";
import { causalConv1d } from "../../ops/scan/conv.ts";
import { selectiveScan } from "../../ops/scan/scan.ts";
import { deltaFinish, deltaKeys, valueResidual } from "../../ops/wkv/delta.ts";
import { gated } from "../../ops/wkv/gate.ts";
import type { WkvResult } from "../../ops/wkv/head.ts";
import { tokenShift6 } from "../../ops/wkv/mix6.ts";
import { tokenShift } from "../../ops/wkv/shift.ts";
import { wkv4 } from "../../ops/wkv/wkv4.ts";
import { wkv5, wkv6 } from "../../ops/wkv/wkv6.ts";
import { wkv7 } from "../../ops/wkv/wkv7.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { numbers, type Ref, ref } from "../reference.ts";
import { convRef, fadingRef, scanRef } from "../references/scan.ts";
import {
  deltaKeysRef,
  deltaStep,
  fadingStep,
  type HeadRecurrence,
  headRef,
  overHead,
  shift6Ref,
  shiftRef,
  wkv4Ref,
} from "../references/wkv.ts";

const both = ({ y, state }: { readonly y: Tensor; readonly state: Tensor }) => joined(y, state);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** A recurrence whose state is a matrix a head: B, T, H, N. */
function heads(name: string, op: (...x: Tensor[]) => WkvResult, recurrence: HeadRecurrence): Check {
  const [B, T, H, N] = [2, 19, 2, 4];
  const small = 0.9 / Math.sqrt(N);
  const { steps, fixed } = recurrence;
  const inputs = [...steps, ...fixed].map((name, n) => {
    const [low, high] = name === "w" ? [-4, 1] : name === "a" || name === "b" ? [-small, small] : [-1, 1];
    return numbers(n < steps.length ? [B, T, H, N] : [H, N], low, high, n + 1);
  });
  return differentiated(
    name,
    [...inputs, numbers([B, H, N, N], -1, 1, 9)],
    () =>
      (...x) =>
        both(op(...x)),
    (...x) => headRef(recurrence, x),
    { samples: 3 },
  );
}

type Five = [Tensor, Tensor, Tensor, Tensor, Tensor];
const fading = (steps: number) => [
  numbers([2, steps, 2, 5], -1, 1, 1),
  numbers([2, steps, 2, 5], -1, 1, 2),
  numbers([2, steps, 4, 3], -1, 1, 3),
  numbers([2, steps, 4], -1, -0.01, 4),
  numbers([2, 4, 5, 3], -1, 1, 5),
];

const wkv: readonly Check[] = [
  // In parts that meet in a workgroup of a GPU, and in more of them, which meet in a launch of their own.
  ...[
    { name: "", T: 19, parts: 3 },
    { name: ", many parts", T: 137, parts: 35 },
  ].map(({ name, T, parts }) =>
    differentiated(
      `RWKV-4 recurrence${name}`,
      [numbers([7], -3, 1, 4), numbers([7], -1, 1, 3), numbers([2, T, 7], -3, 3, 1), numbers([2, T, 7], -2, 2, 2)],
      () => (w, u, k, v) => joined(wkv4(w!, u!, k!, v!).y, wkv4(w!, u!, k!, v!, null, { parts }).y),
      (w, u, k, v) => {
        const { data } = wkv4Ref(w!, u!, k!, v!);
        return ref([2 * data.length], [...data, ...data]);
      },
    ),
  ),
  heads("RWKV-5 recurrence", (...x) => wkv5(...(x as Parameters<typeof wkv5>)), {
    steps: ["r", "k", "v"],
    fixed: ["w", "u"],
    step: fadingStep,
  }),
  heads("RWKV-6 recurrence", (...x) => wkv6(...(x as Parameters<typeof wkv6>)), {
    steps: ["r", "k", "v", "w"],
    fixed: ["u"],
    step: fadingStep,
  }),
  heads("RWKV-7 recurrence", (...x) => wkv7(...(x as Parameters<typeof wkv7>)), {
    steps: ["r", "w", "k", "v", "a", "b"],
    fixed: [],
    step: deltaStep,
  }),
  differentiated(
    "token shift",
    [numbers([2, 7, 5], -2, 2, 1), numbers([2, 5], -2, 2, 2), ...[3, 4].map((seed) => numbers([5], 0, 1, seed))],
    () =>
      (x, before, ...mixes) => {
        const { mixed, last } = tokenShift(x!, before!, mixes);
        return joined(...mixed, last);
      },
    (x, before, ...mixes) => shiftRef(x!, before!, mixes),
  ),
  differentiated(
    "RWKV-6 token shift",
    [
      numbers([2, 7, 5], -2, 2, 1),
      numbers([5, 14, 5], -0.5, 0.5, 2),
      ...[3, 4, 5, 6, 7].map((seed) => numbers([5], -0.5, 1.5, seed)),
      numbers([2, 5], -2, 2, 8),
    ],
    () =>
      (x, shares, ...rest) =>
        joined(...tokenShift6(x!, rest[5]!, shares!, rest.slice(0, 5) as Five)),
    (x, shares, ...rest) => ref([5 * x!.data.length], shift6Ref(x!, shares!, ...rest).data),
  ),
  differentiated(
    "RWKV gates",
    [numbers([2, 3, 7], -2, 2, 1), numbers([2, 3, 7], -9, 9, 2)],
    () => (y, gate) => joined(gated(y!, gate!, "sigmoid"), gated(y!, gate!, "silu")),
    (y, gate) => {
      const share = [...gate!.data].map(sigmoid);
      const values = [...y!.data].map((value, i) => value * share[i]!);
      return ref([2 * values.length], [...values, ...values.map((value, i) => value * gate!.data[i]!)]);
    },
  ),
  differentiated(
    "RWKV-7 decays and keys",
    [
      numbers([2, 3, 12], 0.2, 2, 5),
      numbers([2, 3, 12], -6, 6, 6),
      numbers([2, 3, 12], -2, 2, 8),
      ...[1, 2, 3, 4].map((seed) => numbers([12], -1.5, 1.5, seed)),
    ],
    () => (k, decay, rates, w0, a0, keyScale, keyRate) => {
      const made = deltaKeys(k!, decay!, rates!, 3, { w0: w0!, a0: a0!, keyScale: keyScale!, keyRate: keyRate! });
      return joined(made.w, made.k, made.a, made.b);
    },
    (...x) => ref([4 * 72], deltaKeysRef(4, ...(x as [Ref, Ref, Ref, Ref, Ref, Ref, Ref])).data),
  ),
  differentiated(
    "RWKV-7 bonus and gate",
    [...[1, 2, 3, 4, 5].map((seed) => numbers([2, 3, 12], -1, 1, seed)), numbers([3, 4], -1, 1, 6)],
    () => (y, r, k, v, gate, bonus) => deltaFinish(y!, r!, k!, v!, gate!, 3, bonus!),
    (y, r, k, v, gate, bonus) =>
      ref(y!.shape, (i) => {
        const s = overHead(i, 4, (j) => r!.data[j]! * k!.data[j]! * bonus!.data[j % 12]!);
        return (y!.data[i]! + s * v!.data[i]!) * gate!.data[i]!;
      }),
  ),
  differentiated(
    "RWKV-7 value residual",
    [...[1, 2, 3].map((seed) => numbers([2, 3, 5], -2, 2, seed)), numbers([5], -2, 2, 4)],
    () => (own, first, mix, v0) => valueResidual(own!, first!, mix!, v0!),
    (own, first, mix, v0) =>
      ref(own!.shape, (i) => {
        const x = own!.data[i]!;
        return x + (first!.data[i]! - x) * sigmoid(v0!.data[i % 5]! + mix!.data[i]!);
      }),
  ),
];

export const scans: readonly Check[] = [
  ...wkv,
  // Channels that divide into fours have a kernel of their own.
  ...[5, 8].map((C) =>
    differentiated(
      `causal convolution, ${C} channels`,
      [
        numbers([2, 9, C], -2, 2, 1),
        numbers([C, 1, 4], -1, 1, 2),
        numbers([C], -1, 1, 3),
        numbers([2, 3, C], -1, 1, 4),
      ],
      () => (x, weight, bias, state) =>
        both(causalConv1d(x!, weight!, { bias: bias!, state: state!, activation: "silu" })),
      (...x) => convRef(...(x as [Ref, Ref, Ref, Ref])),
    ),
  ),
  differentiated(
    "Mamba's scan",
    [
      numbers([2, 11, 6], -1, 1, 1),
      numbers([2, 11, 6], -3, 1, 2),
      numbers([6, 4], -2, -0.1, 3),
      numbers([2, 11, 2, 4], -1, 1, 4),
      numbers([2, 11, 2, 4], -1, 1, 5),
      numbers([6], -1, 1, 6),
      numbers([2, 11, 6], -2, 2, 7),
      numbers([6], -1, 1, 8),
      numbers([2, 6, 4], -1, 1, 9),
    ],
    () =>
      (...x) => {
        const [u, delta, A, B, C, D, z, deltaBias, state] = x as [...Five, Tensor, Tensor, Tensor, Tensor];
        return both(selectiveScan(u, delta, A, B, C, { D, z, deltaBias, state, deltaSoftplus: true }));
      },
    scanRef,
    { samples: 3 },
  ),
  differentiated(
    "retention",
    fading(35),
    () =>
      (...x) =>
        both(fadingAttention("retention", ...(x as Five))),
    (...x) => fadingRef(...(x as [Ref, Ref, Ref, Ref, Ref])),
    { samples: 3 },
  ),
  forwardOnly(
    "retention, one step",
    fading(1),
    () =>
      (...x) =>
        noGrad(() => both(fadingAttention("retention", ...(x as Five)))),
    (...x) => fadingRef(...(x as [Ref, Ref, Ref, Ref, Ref])),
  ),
];
