/** Initial values of RWKV for training from scratch: those of the published training code. */
import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { RwkvLanguageModel } from "../../src/models/rwkv/model.ts";
import type { HostTensor } from "../../src/nn/module.ts";
import { Random } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const [V, C, H, L] = [40, 16, 2, 3];
const N = C / H;

/** What a value depends on: its layer from 0, and its channel as number, share d, place within its head. */
interface Place {
  readonly c: number;
  readonly d: number;
  /** c / (C - 1) */
  readonly line: number;
  /** Falls from 1. */
  readonly fall: number;
  /** Rises from 0 to 1. */
  readonly rise: number;
  readonly layer: number;
}
type Rule = (place: Place) => number;

const zigzag = ({ c }: Place) => {
  const z = ((c % N) - (N - 1) / 2) / ((N - 1) / 2);
  return z * Math.abs(z);
};
const decay5: Rule = ({ line, rise }) => -6 + 5 * line ** (0.7 + 1.3 * rise);
const bonus5: Rule = ({ c, line, rise }) => rise * (1 - line) + 0.1 * (((c + 1) % 3) - 1);
const head: Rule = ({ layer }) => ((layer + 1) / L) ** 0.7;
const mixes = (name: string, share: (x: number) => number): Record<string, Rule> => ({
  [`att.${name}_k`]: ({ d, fall }) => share(d ** fall),
  [`att.${name}_v`]: ({ d, fall, rise }) => share(d ** fall + 0.3 * rise),
  [`att.${name}_r`]: ({ d, fall }) => share(d ** (fall / 2)),
});
const kept = mixes("time_mix", (x) => x);
const added = mixes("time_maa", (x) => 1 - x);
const seven =
  (power: number): Rule =>
  ({ d, fall }) =>
    1 - d ** (power * fall);

/** Vectors, by the ends of their names. */
const vectors: Record<string, Record<string, Rule>> = {
  "4": {
    ...kept,
    "att.time_decay": ({ line, rise }) => -5 + 8 * line ** (0.7 + 1.3 * rise),
    "att.time_first": ({ c }) => Math.log(0.3) + 0.5 * (((c + 1) % 3) - 1),
    "ffn.time_mix_k": ({ d, fall }) => d ** fall,
    "ffn.time_mix_r": ({ d, fall }) => d ** fall,
  },
  "5.2": {
    ...kept,
    "att.time_mix_g": kept["att.time_mix_r"] as Rule,
    "att.time_decay": decay5,
    "att.time_faaaa": bonus5,
    "att.ln_x.weight": head,
    "ffn.time_mix_k": ({ d, fall }) => d ** fall,
    "ffn.time_mix_r": ({ d, fall }) => d ** fall,
  },
  "6": {
    ...added,
    "att.time_maa_x": added["att.time_maa_k"] as Rule,
    "att.time_maa_w": added["att.time_maa_k"] as Rule,
    "att.time_maa_g": added["att.time_maa_r"] as Rule,
    "att.time_decay": decay5,
    "att.time_faaaa": bonus5,
    "att.ln_x.weight": head,
    "ffn.time_maa_k": ({ d, fall }) => 1 - d ** (fall ** 3),
    "ffn.time_maa_r": ({ d, fall }) => 1 - d ** (fall ** 3),
  },
  "7": {
    ...Object.fromEntries(["r", "g"].map((name) => [`att.x_${name}`, seven(0.2)])),
    ...Object.fromEntries(["w", "a"].map((name) => [`att.x_${name}`, seven(0.9)])),
    ...Object.fromEntries(["k", "v"].map((name) => [`att.x_${name}`, seven(0.7)])),
    "att.w0": (place) => -6 + 6 * place.line ** (1 + place.rise ** 0.3) + 0.5 + 2.5 * zigzag(place),
    "att.a0": (place) => -0.19 + 0.3 * zigzag(place) + 0.4 * (place.line - 0.5),
    "att.v0": ({ line }) => 0.73 - 0.4 * (line - 0.5),
    "att.k_k": ({ line }) => 0.71 - 0.1 * (line - 0.5),
    "att.k_a": () => 1.02,
    "att.r_k": () => -0.04,
    "att.ln_x.weight": head,
    "ffn.x_k": ({ d, fall }) => 1 - d ** (fall ** 4),
  },
};

/** Matrices: 0, or orthogonal with a gain, or uniform up to a bound. */
type Drawn = { readonly gain: number } | { readonly bound: number };
const silent = { gain: 0 };
const matrices: Record<string, Record<string, Drawn>> = {
  "4": {
    "att.value.weight": { gain: 1 },
    ...Object.fromEntries(["key", "receptance", "output"].map((name) => [`att.${name}.weight`, silent])),
    "ffn.key.weight": { gain: 2 },
    "ffn.receptance.weight": silent,
  },
  "5.2": {
    ...Object.fromEntries(["receptance", "key", "value", "gate"].map((name) => [`att.${name}.weight`, { gain: 1 }])),
    "ffn.receptance.weight": silent,
  },
  "6": {
    ...Object.fromEntries(["receptance", "value"].map((name) => [`att.${name}.weight`, { gain: 1 }])),
    ...Object.fromEntries(["key", "gate"].map((name) => [`att.${name}.weight`, { gain: 0.1 }])),
    ...Object.fromEntries(["time_maa_w1", "time_decay_w1"].map((name) => [`att.${name}`, silent])),
    ...Object.fromEntries(["time_maa_w2", "time_decay_w2"].map((name) => [`att.${name}`, { bound: 0.01 }])),
    "ffn.receptance.weight": silent,
  },
  "7": {
    ...Object.fromEntries(["receptance", "value"].map((name) => [`att.${name}.weight`, { gain: 1 }])),
    "att.key.weight": { gain: 0.1 },
    ...Object.fromEntries(["w1", "a1", "v1", "g1"].map((name) => [`att.${name}`, silent])),
    // 0.1 times the root of rows over columns, here 32 over 16.
    ...Object.fromEntries(["w2", "a2", "v2", "g2"].map((name) => [`att.${name}`, { gain: 0.1 * Math.SQRT2 }])),
    "ffn.key.weight": { gain: 2 },
  },
};
/** Of all versions. */
const common: Record<string, Drawn> = { "att.output.weight": silent, "ffn.value.weight": silent };

/** The products of rows, or of columns where they are fewer, with each other. */
function gram({ shape, values }: HostTensor): number[] {
  const [rows, columns] = shape as [number, number];
  const few = Math.min(rows, columns);
  const at = (n: number, i: number) => values[rows <= columns ? n * columns + i : i * columns + n] as number;
  return Array.from({ length: few * few }, (_, n) => {
    const [a, b] = [Math.floor(n / few), n % few];
    return Array.from({ length: Math.max(rows, columns) }, (_, i) => at(a, i) * at(b, i)).reduce((x, y) => x + y);
  });
}

test.each(Object.keys(vectors))("RWKV-%s begins with the published values", async (version) => {
  const heads = version === "4" ? 1 : H;
  const config = { kind: `rwkv${version}`, vocabSize: V, channels: C, heads, numLayers: L };
  const model = new RwkvLanguageModel(device, config, { random: new Random(5) });
  const state = await model.stateDict();
  model.dispose();
  const untold = new Set(state.keys());
  const take = (name: string): HostTensor => {
    expect([...untold], name).toContain(name);
    untold.delete(name);
    return state.get(name) as HostTensor;
  };
  const orthogonal = (name: string, gain: number) => {
    const products = gram(take(name));
    const few = Math.sqrt(products.length);
    const unit = products.map((_, n) => (n % (few + 1) === 0 ? gain ** 2 : 0));
    expectClose(products, unit, { atol: 1e-5, what: name });
  };
  const within = (name: string, bound: number) => {
    const { values } = take(name);
    const largest = Math.max(...values.map(Math.abs));
    expect(largest, name).toBeLessThanOrEqual(bound);
    expect(largest, name).toBeGreaterThan(0.9 * bound);
  };
  for (let layer = 0; layer < L; layer++) {
    const absent = (end: string) => version === "7" && layer === 0 && /^att\.v[012]$/.test(end);
    for (const [end, rule] of Object.entries(vectors[version] ?? {})) {
      if (absent(end)) continue;
      const name = `blocks.${layer}.${end}`;
      const { values } = take(name);
      const place = { layer, fall: 1 - layer / L, rise: layer / (L - 1) };
      const wanted = [...values].map((_, c) => rule({ ...place, c, d: c / C, line: c / (C - 1) }));
      expectClose(values, wanted, { what: name });
    }
    for (const [end, rule] of Object.entries({ ...common, ...matrices[version] })) {
      if (absent(end)) continue;
      const name = `blocks.${layer}.${end}`;
      if ("bound" in rule) within(name, rule.bound);
      else orthogonal(name, rule.gain);
    }
  }
  within("emb.weight", 1e-4);
  orthogonal("head.weight", 0.5 * Math.sqrt(V / C));
  // What is left are norms, and the feed-forward matrix whose inner width is no multiple of the other.
  for (const name of untold) {
    if (name.endsWith("ffn.key.weight")) {
      const { shape } = state.get(name) as HostTensor;
      orthogonal(name, Math.sqrt(Math.max(1, (shape[0] as number) / C)));
      continue;
    }
    expect(name).toMatch(/(ln\w+\.weight|\.bias)$/);
    const { values } = take(name);
    expect([...values]).toEqual(new Array(C).fill(name.endsWith("weight") ? 1 : 0));
  }
  expect([...untold]).toEqual([]);
});
