import { noGrad } from "../autograd/mode.ts";
import { ValueError } from "../gpu/errors.ts";
import type { LanguageModel } from "../models/language.ts";
import { ModelState } from "../models/state.ts";
import { gather } from "../ops/gather.ts";
import { reshape } from "../ops/reshape.ts";
import { topK } from "../ops/sampleTop.ts";
import { softmax } from "../ops/softmax.ts";
import { tensor } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import type { Shape } from "../tensor/shape.ts";

/** What a model held likely before it saw a token. */
export interface TokenChoice {
  /** Probability of the token that came. */
  readonly probability: number;
  /** The likeliest tokens with their probabilities, likeliest first. */
  readonly top: readonly { readonly id: number; readonly probability: number; readonly logit: number }[];
}

/** Tokens that one pass of the parallel form takes. */
const CHUNK = 64;

/**
 * What a model held likely at each token of a text but the first, before temperature and the like: how surprised it was,
 * and by what. One pass of the parallel form for every 64 tokens.
 *
 * @param ids token ids, two or more
 * @param count likeliest tokens at each place; at most the vocabulary
 * @returns one entry a token, from the second on
 */
export async function tokenChoices(
  model: LanguageModel,
  ids: Int32Array<ArrayBuffer>,
  count = 8,
): Promise<TokenChoice[]> {
  const { device, config } = model;
  const found: TokenChoice[] = [];
  const wanted = Math.min(count, config.vocabSize);
  const now = model.initialState(1);
  try {
    for (let at = 0; at < ids.length - 1; at += CHUNK) {
      const length = Math.min(CHUNK, ids.length - 1 - at);
      const kept = scope(() =>
        noGrad(() => {
          const tokens = tensor(device, ids.slice(at, at + length), [1, length]);
          const { logits, state } = model.forward(tokens, new ModelState(now.tensors, at));
          now.assign(state);
          const rows = reshape(logits, [length, config.vocabSize]);
          const shares = softmax(rows);
          const next = tensor(device, ids.slice(at + 1, at + 1 + length), [length, 1]);
          const top = topK(rows, wanted);
          const parts = [gather(shares, 1, next), gather(shares, 1, top.ids), top.values, top.ids] as const;
          for (const part of parts) keep(part);
          return parts;
        }),
      );
      const [own, shares, logits, places] = await Promise.all(kept.map((one) => one.data()));
      for (const one of kept) one.dispose();
      for (let i = 0; i < length; i++) {
        found.push({
          probability: own?.[i] as number,
          top: Array.from({ length: wanted }, (_, n) => ({
            id: places?.[i * wanted + n] as number,
            probability: shares?.[i * wanted + n] as number,
            logit: logits?.[i * wanted + n] as number,
          })),
        });
      }
    }
    return found;
  } finally {
    now.dispose();
  }
}

/** A part of a model's state after each token of a text. */
export interface StateCourse {
  readonly name: string;
  /** Of the part, for one text. */
  readonly shape: Shape;
  /** [T, size]; the part after each token, flat. */
  readonly values: Float32Array<ArrayBuffer>;
}

/**
 * How a model's state changes as it reads a text, token by token: hidden units of a recurrent layer, the matrices of RWKV,
 * the caches of attention. Takes T times the memory of a state on the host.
 *
 * @throws ValueError if there are no tokens
 */
export async function stateCourse(model: LanguageModel, ids: Int32Array<ArrayBuffer>): Promise<StateCourse[]> {
  if (ids.length === 0) throw new ValueError("stateCourse: there are no tokens; give at least one");
  const now = model.initialState(1);
  const decoder = model.decoder();
  const { training } = model;
  model.eval();
  const courses = Object.entries(now.tensors).map(([name, { shape, size }]) => ({
    name,
    shape,
    values: new Float32Array(ids.length * size),
  }));
  try {
    for (const [t, id] of ids.entries()) {
      scope(() => {
        const { state } = decoder.step(tensor(model.device, [id], [1], "u32"), new ModelState(now.tensors, t));
        now.assign(state);
      });
      const data = await now.data();
      for (const { name, values } of courses) {
        const part = data.get(name)?.values;
        if (part) values.set(part, t * part.length);
      }
    }
    return courses;
  } finally {
    if (training) model.train();
    decoder.dispose();
    now.dispose();
  }
}
