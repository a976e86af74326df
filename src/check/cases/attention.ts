import { attention, attentionWithLse } from "../../ops/attention/attention.ts";
import { createCache } from "../../ops/attention/cache.ts";
import { decodeAttention } from "../../ops/attention/decode.ts";
import { naiveAttention } from "../../ops/attention/naive.ts";
import { rotary, rotaryTable } from "../../ops/attention/rotary.ts";
import { concat } from "../../ops/concat.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { tensor } from "../../tensor/create.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { indexOf, numbers, type Ref, ref } from "../reference.ts";
import { attentionRef, type Sight } from "../references/attention.ts";

const [B, H, HKV, T, D] = [2, 4, 2, 11, 8];
const inputs = [numbers([B, H, T, D], -2, 2, 1), numbers([B, HKV, T, D], -2, 2, 2), numbers([B, HKV, T, D], -2, 2, 3)];
const attended = (q: Ref, k: Ref, v: Ref, sight: Sight) =>
  attentionRef(
    q,
    k,
    v,
    ref(q.shape, () => 0),
    sight,
  );

/** Pairs of neighbours of [B, T, H, D], turned by the position times 10000^(-2 i / D). */
function turned(x: Ref): Ref {
  const size = x.shape[3] as number;
  return ref(x.shape, (i) => {
    const [, t = 0, , d = 0] = indexOf(i, x.shape);
    const pair = d >> 1;
    const angle = t * 10_000 ** ((-2 * pair) / size);
    const [even, odd] = [x.data[i - (d % 2)]!, x.data[i - (d % 2) + 1]!];
    return d % 2 === 0
      ? even * Math.cos(angle) - odd * Math.sin(angle)
      : even * Math.sin(angle) + odd * Math.cos(angle);
  });
}

export const attentions: readonly Check[] = [
  differentiated(
    "attention",
    inputs,
    () => (q, k, v) => attention(q!, k!, v!, { causal: true }),
    (q, k, v) => attended(q!, k!, v!, { causal: true }).out,
  ),
  differentiated(
    "attention, windowed, with its log sums",
    [numbers([1, 2, 9, 8], -2, 2, 4), numbers([1, 2, 9, 8], -2, 2, 5), numbers([1, 2, 9, 8], -2, 2, 6)],
    () => (q, k, v) => {
      const { out, lse } = attentionWithLse(q!, k!, v!, { causal: true, window: 4 });
      return joined(out, lse);
    },
    (q, k, v) => {
      const { out, lse } = attended(q!, k!, v!, { causal: true, window: [3, 0] });
      return ref([9 * 18], [...out.data, ...lse.data]);
    },
  ),
  differentiated(
    "attention with a bias",
    [...inputs, numbers([1, H, T, T], -2, 2, 8)],
    () => (q, k, v, bias) => attention(q!, k!, v!, { bias: bias! }),
    (q, k, v, bias) => attended(q!, k!, v!, { bias: bias! }).out,
  ),
  differentiated(
    "attention, the plain way",
    inputs,
    () => (q, k, v) => naiveAttention(q!, k!, v!, { causal: true }),
    (q, k, v) => attended(q!, k!, v!, { causal: true }).out,
  ),
  forwardOnly(
    "attention, token by token",
    inputs,
    (device) => (q, k, v) => {
      const cache = createCache(device, { batch: B, keyHeads: HKV, size: D, capacity: T });
      const one = (x: typeof q, heads: number, t: number) => reshape(slice(x!, 2, t, t + 1), [B, heads, D]);
      const steps = Array.from({ length: T }, (_, t) =>
        decodeAttention(one(q, H, t), one(k, HKV, t), one(v, HKV, t), cache, tensor(device, [t], [1], "u32"), {
          splits: 1 + (t % 2),
        }),
      );
      return concat(
        steps.map((step) => reshape(step, [B, H, 1, D])),
        2,
      );
    },
    (q, k, v) => attended(q!, k!, v!, { causal: true }).out,
  ),
  differentiated(
    "rotary positions",
    [numbers([2, 7, 3, 6], -2, 2, 7)],
    (device) => (x) => rotary(x!, rotaryTable(device, 6)),
    (x) => turned(x!),
  ),
];
