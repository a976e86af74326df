import { backward } from "../../autograd/backward.ts";
import type { Device } from "../../gpu/device.ts";
import { mul } from "../../ops/binary.ts";
import { cast } from "../../ops/cast.ts";
import { dropout } from "../../ops/dropout.ts";
import { sum } from "../../ops/reduce.ts";
import { Sampler } from "../../ops/sample.ts";
import { softmaxTop } from "../../ops/sampleTop.ts";
import { Adam, AdamW } from "../../optim/adam.ts";
import type { Optimizer } from "../../optim/optimizer.ts";
import { SGD } from "../../optim/sgd.ts";
import { tensor } from "../../tensor/create.ts";
import { Generator, normal, randomWords, uniform } from "../../tensor/generator.ts";
import { philox4x32, splitWord, wordsToNormals, wordToUniform } from "../../tensor/philox.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { History } from "../../train/history.ts";
import { type Check, forwardOnly, joined } from "../check.ts";
import type { Comparison } from "../compare.ts";
import { numbers, ref } from "../reference.ts";

const SEED = 0x1234_5678_9abcd;
/** What draw number `call` of the first step is. */
const wordsOf = (count: number, call: number): number[] =>
  Array.from({ length: count }, (_, i) => philox4x32([i >> 2, call, 0, 0], splitWord(SEED))[i % 4] as number);

const random: Check = {
  name: "random numbers",
  async run(device) {
    const generator = new Generator(device, SEED);
    const drawn = scope(
      () => [randomWords(generator, [65]), uniform(generator, [33], -1, 3), normal(generator, [34])] as const,
    );
    generator.advance();
    const { step } = await generator.state();
    const [words, even, bell] = await Promise.all(drawn.map((one) => one.data()));
    for (const one of [...drawn, generator]) one.dispose();
    const pairs = wordsOf(34, 2);
    const exact = { pass: "forward", atol: 0, rtol: 0 } as const;
    return [
      { ...exact, what: "words", got: words!, want: wordsOf(65, 0) },
      { ...exact, what: "step", got: [step], want: [1] },
      {
        ...exact,
        atol: 1e-6,
        what: "uniform",
        got: even!,
        want: wordsOf(33, 1).map((word) => 4 * wordToUniform(word) - 1),
      },
      {
        ...exact,
        atol: 1e-3,
        what: "normal",
        got: bell!,
        want: pairs.flatMap((word, i) => (i % 2 === 0 ? wordsToNormals(word, pairs[i + 1] as number) : [])),
      },
    ];
  },
};

/** What dropout keeps, it scales, and the gradient goes the same ways. */
const dropping: Check = {
  name: "dropout",
  async run(device) {
    const generator = new Generator(device, SEED);
    const x = tensor(device, Float32Array.from(numbers([257], 1, 2, 1).data));
    x.requiresGrad = true;
    const y = scope(() => {
      const y = dropout(x, 0.25, generator);
      backward(sum(mul(y, y)));
      return y;
    });
    const [values, slopes] = [await y.data(), (await x.grad?.data()) ?? []];
    const scale = 1 / 0.75;
    const inputs = [...(await x.data())];
    const kept = wordsOf(257, 0).map((word) => wordToUniform(word) >= 0.25);
    for (const one of [x, y, generator]) one.dispose();
    const wanted = inputs.map((value, i) => (kept[i] ? value * scale : 0));
    return [
      { what: "value", pass: "forward", got: values, want: wanted, atol: 1e-5, rtol: 1e-5 },
      {
        what: "gradient",
        pass: "backward",
        got: slopes,
        want: wanted.map((y) => 2 * y * scale),
        atol: 1e-5,
        rtol: 1e-5,
      },
    ];
  },
};

const LIKELY = [0.3, -1.2, 2.5, 0.9, 1.6, -0.4, 2.1];
const SEEN = [2, 5, 2];
/** Repetition penalty, temperature and top-k over `LIKELY`, the first tokens of the vocabulary; none of the others is drawn. */
const SAMPLING = { temperature: 0.7, topK: 4, repetitionPenalty: 1.5 };

function probabilities(logits: ArrayLike<number>): number[] {
  const { temperature, topK, repetitionPenalty } = SAMPLING;
  const adjusted = Array.from(
    logits,
    (x, i) => (SEEN.includes(i) ? (x > 0 ? x / repetitionPenalty : x * repetitionPenalty) : x) / temperature,
  );
  const least = [...adjusted].sort((a, b) => b - a)[topK - 1] as number;
  const powers = adjusted.map((x) => (x >= least ? Math.exp(x) : 0));
  const whole = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / whole);
}

// A large vocabulary is first cut down to a list.
const sampling = [LIKELY.length, 2500].map((vocabSize) =>
  forwardOnly(
    `sampling, ${vocabSize} tokens`,
    [ref([1, vocabSize], (i) => LIKELY[i] ?? -9)],
    (device) => (logits) => {
      const sampler = new Sampler(device, { vocabSize, ...SAMPLING });
      sampler.see(SEEN);
      const shares = sampler.probabilities(logits!);
      const token = sampler.record(logits!, tensor(device, [0.5]));
      const { values, ids } = softmaxTop(logits!, 3);
      const drawn = cast(token, "f32");
      sampler.dispose();
      return joined(shares, drawn, values, cast(ids, "f32"));
    },
    (logits) => {
      const shares = probabilities(logits!.data);
      let below = 0;
      const token = shares.findIndex((share) => {
        below += share;
        return below > 0.5;
      });
      const order = LIKELY.map((_, i) => i)
        .sort((a, b) => LIKELY[b]! - LIKELY[a]!)
        .slice(0, 3);
      const whole = [...logits!.data].reduce((total, x) => total + Math.exp(x), 0);
      const top = order.map((i) => Math.exp(LIKELY[i]!) / whole);
      return ref([vocabSize + 7], [...shares, token, ...top, ...order]);
    },
  ),
);

const START = numbers([70], -1, 1, 1);
const SLOPES = [numbers([70], -2, 2, 2), numbers([70], -2, 2, 3)];
const STEPS = { lr: 0.1, maxNorm: 3, weightDecay: 0.01 };

/** Two steps of an optimizer, with clipping, beside the same in float64. */
function steps(
  name: string,
  make: (x: Tensor<"f32">) => Optimizer,
  rule: (slopes: number[], state: Float64Array[], x: number[], step: number) => number[],
): Check {
  return {
    name,
    async run(device: Device): Promise<Comparison[]> {
      const x = tensor(device, Float32Array.from(START.data));
      x.requiresGrad = true;
      const optimizer = make(x);
      const history = new History(device);
      for (const slopes of SLOPES) {
        optimizer.zeroGrad();
        scope(() => {
          const loss = sum(mul(x, tensor(device, Float32Array.from(slopes.data))));
          backward(loss);
          optimizer.step();
          history.append(loss, optimizer);
        });
      }
      const [got, records] = [await x.data(), await history.take()];
      for (const one of [history, optimizer, x]) one.dispose();
      const state = [1, 2, 3].map(() => new Float64Array(70));
      let want = [...START.data];
      const told: number[] = [];
      SLOPES.forEach(({ data }, step) => {
        const norm = Math.hypot(...data);
        told.push(
          want.reduce((total, value, i) => total + value * data[i]!, 0),
          norm,
        );
        const clip = Math.min(1, STEPS.maxNorm / (norm + 1e-6));
        want = rule(
          [...data].map((slope) => slope * clip),
          state,
          want,
          step + 1,
        );
      });
      const near = { pass: "forward", atol: 1e-5, rtol: 1e-4 } as const;
      return [
        { ...near, what: "parameters", got, want },
        { ...near, what: "loss and norm", got: records.flatMap(({ loss, gradNorm }) => [loss, gradNorm]), want: told },
      ];
    },
  };
}

export const trainings: readonly Check[] = [
  random,
  dropping,
  ...sampling,
  steps(
    "AdamW",
    (x) => new AdamW([x], STEPS),
    (slopes, [m, v], x, step) =>
      x.map((value, i) => {
        m![i] = 0.9 * m![i]! + 0.1 * slopes[i]!;
        v![i] = 0.999 * v![i]! + 0.001 * slopes[i]! ** 2;
        const first = m![i]! / (1 - 0.9 ** step);
        const second = v![i]! / (1 - 0.999 ** step);
        return value * (1 - STEPS.lr * STEPS.weightDecay) - (STEPS.lr * first) / (Math.sqrt(second) + 1e-8);
      }),
  ),
  steps(
    "Adam, AMSGrad",
    (x) => new Adam([x], { ...STEPS, amsgrad: true }),
    (slopes, [m, v, largest], x, step) =>
      x.map((value, i) => {
        const slope = slopes[i]! + STEPS.weightDecay * value;
        m![i] = 0.9 * m![i]! + 0.1 * slope;
        v![i] = 0.999 * v![i]! + 0.001 * slope ** 2;
        largest![i] = Math.max(largest![i]!, v![i]!);
        const root = Math.sqrt(largest![i]! / (1 - 0.999 ** step));
        return value - (STEPS.lr * m![i]!) / (1 - 0.9 ** step) / (root + 1e-8);
      }),
  ),
  steps(
    "SGD with momentum",
    (x) => new SGD([x], { ...STEPS, momentum: 0.9 }),
    (slopes, [m], x, step) =>
      x.map((value, i) => {
        const slope = slopes[i]! + STEPS.weightDecay * value;
        m![i] = step === 1 ? slope : 0.9 * m![i]! + slope;
        return value - STEPS.lr * m![i]!;
      }),
  ),
];
