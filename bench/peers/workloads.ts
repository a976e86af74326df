/**
 * The jobs that every engine does: sizes, and inputs drawn from fixed seeds, so that the page and the float64
 * reference in Node make the same numbers without passing them around.
 */
export interface Floats {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}
export interface Ints {
  readonly shape: readonly number[];
  readonly data: Int32Array<ArrayBuffer>;
}

interface Job<Kind extends string, Sizes> {
  readonly kind: Kind;
  readonly sizes: Sizes;
  /** Multiplications and additions of a step, where that number means something. */
  readonly flop?: number;
}

/** y = a b, (M, K) x (K, N). */
export interface Matmul extends Job<"matmul", { readonly M: number; readonly K: number; readonly N: number }> {
  readonly inputs: { readonly a: Floats; readonly b: Floats };
}
/** Causal softmax(q k^T / sqrt(D)) v on (B, H, T, D), and its gradients for `dout`. */
export interface Attention
  extends Job<
    "attention",
    { readonly B: number; readonly H: number; readonly T: number; readonly D: number; readonly backward: boolean }
  > {
  readonly inputs: { readonly q: Floats; readonly k: Floats; readonly v: Floats; readonly dout: Floats };
}
/** RWKV-4's weighted key-value sum on (B, T, C); w is the negative decay of each channel. */
export interface Wkv
  extends Job<"wkv", { readonly B: number; readonly T: number; readonly C: number; readonly backward: boolean }> {
  readonly inputs: {
    readonly w: Floats;
    readonly u: Floats;
    readonly k: Floats;
    readonly v: Floats;
    readonly dout: Floats;
  };
}
/** Softmax of each of R rows of C. */
export interface Softmax extends Job<"softmax", { readonly R: number; readonly C: number }> {
  readonly inputs: { readonly x: Floats };
}
/** Layer normalisation of each of R rows of C, with gain g and bias b. */
export interface LayerNorm extends Job<"layernorm", { readonly R: number; readonly C: number; readonly eps: number }> {
  readonly inputs: { readonly x: Floats; readonly g: Floats; readonly b: Floats };
}
/** Mean cross-entropy of R rows of V logits, and the gradient of the logits. */
export interface CrossEntropy extends Job<"crossEntropy", { readonly R: number; readonly V: number }> {
  readonly inputs: { readonly x: Floats; readonly targets: Ints };
}

/**
 * Embedding, LSTM, linear head. Weights are (in, out); wx and wh hold the gates i, f, g, o side by side, and there
 * is one bias.
 */
export interface LstmParameters {
  readonly emb: Floats;
  readonly wx: Floats;
  readonly wh: Floats;
  readonly b: Floats;
  readonly wo: Floats;
  readonly bo: Floats;
}
interface LstmSizes {
  readonly V: number;
  readonly E: number;
  readonly H: number;
}
/** One Adam step of an LSTM language model on a batch (B, T). */
export interface LstmTrain extends Job<"lstmTrain", LstmSizes & { readonly B: number; readonly T: number }> {
  readonly inputs: { readonly ids: Ints; readonly targets: Ints };
  readonly parameters: LstmParameters;
}
/** N tokens from one LSTM, each drawn as the argmax of logits plus a row of the Gumbel noise (N, V). */
export interface LstmGenerate
  extends Job<"lstmGenerate", LstmSizes & { readonly N: number; readonly start: number; readonly readBack: boolean }> {
  readonly inputs: { readonly noise: Floats };
  readonly parameters: LstmParameters;
}
/** One Adam step of a pre-norm transformer language model with L layers of NH heads on a batch (B, T). */
export interface GptTrain
  extends Job<
    "gptTrain",
    {
      readonly V: number;
      readonly C: number;
      readonly L: number;
      readonly NH: number;
      readonly B: number;
      readonly T: number;
    }
  > {
  readonly inputs: { readonly ids: Ints; readonly targets: Ints };
  /** tok, pos, lnfg, lnfb, head, and a layer `l0_ln1g`, `l0_wqkv`, .. */
  readonly parameters: Readonly<Record<string, Floats>>;
}

export type Workload =
  | Matmul
  | Attention
  | Wkv
  | Softmax
  | LayerNorm
  | CrossEntropy
  | LstmTrain
  | LstmGenerate
  | GptTrain;
export type Kind = Workload["kind"];
/** What an engine hands back for checking, by name. */
export type Outputs = Readonly<Record<string, ArrayLike<number>>>;

/** Options of Adam in the training workloads. */
export const ADAM = { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
/** Training is checked on the losses of this many steps in a row. */
export const CHECKED_STEPS = 4;

/** Mulberry32: small, good enough to fill tensors, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;
const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

function generated(shape: readonly number[], value: (i: number) => number): Floats {
  return { shape, data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i)) };
}
const uniform = (random: Random, shape: readonly number[], bound: number) =>
  generated(shape, () => (random() * 2 - 1) * bound);
const constant = (shape: readonly number[], value: number) => generated(shape, () => value);
function whole(random: Random, shape: readonly number[], below: number): Ints {
  return { shape, data: Int32Array.from({ length: sizeOf(shape) }, () => Math.floor(random() * below)) };
}

function matmul(seed: number, M: number, K: number, N: number): Matmul {
  const random = randomFrom(seed);
  return {
    kind: "matmul",
    sizes: { M, K, N },
    flop: 2 * M * K * N,
    inputs: { a: uniform(random, [M, K], 1), b: uniform(random, [K, N], 1) },
  };
}

function attention(B: number, H: number, T: number, D: number, backward: boolean): Attention {
  const random = randomFrom(7);
  const shape = [B, H, T, D];
  return {
    kind: "attention",
    sizes: { B, H, T, D, backward },
    flop: (backward ? 3.5 : 1) * 4 * B * H * T * T * D,
    inputs: {
      q: uniform(random, shape, 1.7),
      k: uniform(random, shape, 1.7),
      v: uniform(random, shape, 1),
      dout: uniform(random, shape, 1),
    },
  };
}

function wkv(B: number, T: number, C: number, backward: boolean): Wkv {
  const random = randomFrom(11);
  const shape = [B, T, C];
  return {
    kind: "wkv",
    sizes: { B, T, C, backward },
    inputs: {
      w: generated([C], (i) => -Math.exp(-3 + (5 * i) / (C - 1))),
      u: uniform(random, [C], 0.5),
      k: uniform(random, shape, 1),
      v: uniform(random, shape, 1),
      dout: uniform(random, shape, 1),
    },
  };
}

function softmax(): Softmax {
  return {
    kind: "softmax",
    sizes: { R: 1024, C: 1024 },
    inputs: { x: uniform(randomFrom(8), [1024, 1024], 4) },
  };
}

function layerNorm(): LayerNorm {
  const random = randomFrom(9);
  return {
    kind: "layernorm",
    sizes: { R: 1024, C: 1024, eps: 1e-5 },
    inputs: { x: uniform(random, [1024, 1024], 4), g: uniform(random, [1024], 1), b: uniform(random, [1024], 1) },
  };
}

function crossEntropy(): CrossEntropy {
  const random = randomFrom(10);
  return {
    kind: "crossEntropy",
    sizes: { R: 512, V: 4096 },
    inputs: { x: uniform(random, [512, 4096], 4), targets: whole(random, [512], 4096) },
  };
}

const LSTM = { V: 64, E: 64, H: 128 } as const;

function lstmParameters(random: Random): LstmParameters {
  const { V, E, H } = LSTM;
  return {
    emb: uniform(random, [V, E], 0.5),
    wx: uniform(random, [E, 4 * H], 1.7 / Math.sqrt(E)),
    wh: uniform(random, [H, 4 * H], 1.7 / Math.sqrt(H)),
    b: uniform(random, [4 * H], 0.1),
    wo: uniform(random, [H, V], 2.5 / Math.sqrt(H)),
    bo: constant([V], 0),
  };
}

function lstmTrain(): LstmTrain {
  const random = randomFrom(3);
  const [B, T] = [8, 32];
  const parameters = lstmParameters(random);
  const inputs = { ids: whole(random, [B, T], LSTM.V), targets: whole(random, [B, T], LSTM.V) };
  return { kind: "lstmTrain", sizes: { ...LSTM, B, T }, parameters, inputs };
}

function lstmGenerate(readBack: boolean): LstmGenerate {
  const random = randomFrom(5);
  const N = 64;
  // The uniform numbers keep away from 0 and 1, where the noise would be infinite.
  const noise = generated([N, LSTM.V], () => -Math.log(-Math.log(random() * 0.999 + 5e-4)));
  const parameters = lstmParameters(random);
  return { kind: "lstmGenerate", sizes: { ...LSTM, N, start: 1, readBack }, parameters, inputs: { noise } };
}

function gptTrain(): GptTrain {
  const random = randomFrom(4);
  const [V, C, L, NH, B, T] = [64, 64, 2, 4, 8, 64];
  const bound = (1.7 / Math.sqrt(C)) * 0.6;
  const parameters: Record<string, Floats> = { tok: uniform(random, [V, C], 0.1), pos: uniform(random, [T, C], 0.1) };
  for (let layer = 0; layer < L; layer++) {
    const name = (part: string) => `l${layer}_${part}`;
    parameters[name("ln1g")] = constant([C], 1);
    parameters[name("ln1b")] = constant([C], 0);
    parameters[name("wqkv")] = uniform(random, [C, 3 * C], bound);
    parameters[name("bqkv")] = constant([3 * C], 0);
    parameters[name("wo")] = uniform(random, [C, C], bound);
    parameters[name("bo")] = constant([C], 0);
    parameters[name("ln2g")] = constant([C], 1);
    parameters[name("ln2b")] = constant([C], 0);
    parameters[name("w1")] = uniform(random, [C, 4 * C], bound);
    parameters[name("b1")] = constant([4 * C], 0);
    parameters[name("w2")] = uniform(random, [4 * C, C], bound / 2);
    parameters[name("b2")] = constant([C], 0);
  }
  parameters.lnfg = constant([C], 1);
  parameters.lnfb = constant([C], 0);
  parameters.head = uniform(random, [C, V], bound);
  const inputs = { ids: whole(random, [B, T], V), targets: whole(random, [B, T], V) };
  return { kind: "gptTrain", sizes: { V, C, L, NH, B, T }, parameters, inputs };
}

/** By name, in the order of the table. Made on demand: inputs take up to 8 MB each. */
export const WORKLOADS = {
  matmul512: () => matmul(1, 512, 512, 512),
  vecmat1024: () => matmul(2, 1, 1024, 1024),
  softmax1024: softmax,
  layernorm1024: layerNorm,
  ce_fwdbwd: crossEntropy,
  lstm_train: lstmTrain,
  lstm_gen_readback: () => lstmGenerate(true),
  lstm_gen_device: () => lstmGenerate(false),
  attn_fwd_512: () => attention(1, 4, 512, 64, false),
  attn_fwd_2048: () => attention(1, 4, 2048, 64, false),
  attn_fwdbwd_512: () => attention(1, 4, 512, 64, true),
  gpt_train: gptTrain,
  wkv_fwd: () => wkv(4, 128, 128, false),
  wkv_fwdbwd: () => wkv(4, 128, 128, true),
} as const satisfies Record<string, () => Workload>;

export type WorkloadName = keyof typeof WORKLOADS;

export const isTraining = (workload: Workload): workload is LstmTrain | GptTrain =>
  workload.kind === "lstmTrain" || workload.kind === "gptTrain";

/** Tokens that a step generates; 0 for other work. */
export const tokensOf = (workload: Workload): number => (workload.kind === "lstmGenerate" ? workload.sizes.N : 0);
