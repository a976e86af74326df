/** Whole training steps, as the trainer captures them, for scenarios that measure them. */
import { backward } from "../src/autograd/backward.ts";
import type { Device } from "../src/gpu/device.ts";
import type { Plan } from "../src/gpu/plan.ts";
import type { LanguageModel } from "../src/models/language.ts";
import { createModel, modelKind } from "../src/models/registry.ts";
import type { ModelState } from "../src/models/state.ts";
import { concat } from "../src/ops/concat.ts";
import { crossEntropy } from "../src/ops/crossEntropy.ts";
import { slice } from "../src/ops/slice.ts";
import { AdamW } from "../src/optim/adam.ts";
import { capture } from "../src/tensor/capture.ts";
import { tensor } from "../src/tensor/create.ts";
import { Random } from "../src/tensor/philox.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { summarise } from "./statistics.ts";

export const VOCAB = 64;

export function smallModel(
  device: Device,
  kind: string,
  width: number,
  contextLength: number,
  numLayers = 1,
): LanguageModel {
  const config = modelKind(kind).sized({ vocabSize: VOCAB, width, numLayers, contextLength });
  return createModel(device, config, { random: new Random(1) });
}

export interface TrainingStep {
  readonly plan: Plan<unknown>;
  dispose(): void;
}

/** The loss of a model that sees all tokens at once. */
const atOnce = (model: LanguageModel, ids: Tensor, targets: Tensor): Tensor =>
  crossEntropy(model.forward(ids).logits, targets);

/** The same loss by one forward pass a token, which hands its state on. */
export function tokenByToken(model: LanguageModel, ids: Tensor, targets: Tensor): Tensor {
  const pieces: Tensor[] = [];
  let state: ModelState | undefined;
  for (let t = 0; t < (ids.shape[1] as number); t++) {
    const { logits, state: next } = model.forward(slice(ids, 1, t, t + 1), state);
    pieces.push(logits);
    state = next;
  }
  return crossEntropy(concat(pieces, 1), targets);
}

/** Forward, backward, clipping and update of a small model on B texts of T tokens, captured. */
export async function trainingStep(
  device: Device,
  kind: string,
  { width, B, T, numLayers = 1 }: { width: number; B: number; T: number; numLayers?: number },
  lossOf = atOnce,
): Promise<TrainingStep> {
  const model = smallModel(device, kind, width, T, numLayers);
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3, maxNorm: 1 });
  const random = new Random(2);
  const ids = () =>
    tensor(
      device,
      Int32Array.from({ length: B * T }, () => random.integer(VOCAB)),
      [B, T],
    );
  const [inputs, targets] = [ids(), ids()];
  const plan = await capture(device, () => {
    optimizer.zeroGrad();
    backward(lossOf(model, inputs, targets));
    optimizer.step();
    return null;
  });
  return {
    plan,
    dispose() {
      for (const one of [plan, optimizer, model, inputs, targets]) one.dispose();
    },
  };
}

/** Median milliseconds from submit to done, of at least three runs. */
export async function timeRuns(device: Device, run: () => void, budgetMs: number): Promise<number> {
  run();
  await device.sync();
  const done: number[] = [];
  const end = performance.now() + budgetMs;
  while (done.length < 3 || performance.now() < end) {
    const start = performance.now();
    run();
    await device.sync();
    done.push(performance.now() - start);
  }
  return summarise(done).median;
}

/** Above this one run tells enough, and more would take minutes. */
const LONG_MS = 2000;

/** Median milliseconds of a replay, or those of the first where that takes seconds. */
export async function timePlan(device: Device, plan: Plan<unknown>): Promise<number> {
  const start = performance.now();
  plan.replay();
  await device.sync();
  const first = performance.now() - start;
  return first > LONG_MS ? first : timeRuns(device, () => plan.replay(), 500);
}
