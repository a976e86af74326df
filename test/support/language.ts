/** What the tests of language models share. */
import { noGrad } from "../../src/autograd/mode.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import type { ModelState } from "../../src/models/state.ts";
import { concat } from "../../src/ops/concat.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";

/** Makes all weights differ from zero (O15). */
export function spreadWeights(model: LanguageModel): void {
  model.parameters().forEach((parameter, s) => {
    parameter.write(Float32Array.from({ length: parameter.size }, (_, n) => (((37 * n + 11 * s) % 101) - 50) / 200));
  });
}

/** T tokens in pieces of `size`, the last one shorter. */
export const chunks = (T: number, size: number): number[] =>
  Array.from({ length: Math.ceil(T / size) }, (_, n) => Math.min(size, T - n * size));

/** Logits of all tokens [1, T, V] and the last state, the text fed in pieces of the given lengths. */
export async function feed(model: LanguageModel, ids: Int32Array<ArrayBuffer>, pieces: readonly number[]) {
  const { logits, state } = scope(() =>
    noGrad(() => {
      let state: ModelState | undefined;
      let at = 0;
      const logits = pieces.map((length) => {
        const run = model.forward(tensor(model.device, ids.slice(at, at + length), [1, length]), state);
        at += length;
        state = run.state;
        return run.logits;
      });
      return { logits: concat(logits, 1), state: state as unknown as ModelState };
    }),
  );
  const values = await logits.data();
  const last = new Map([...(await state.data())].map(([name, { values }]) => [name, values]));
  logits.dispose();
  state.dispose();
  return { values, last };
}

/** Logits [T, V] of one text in the parallel form, alone. */
export async function wholeOf(model: LanguageModel, ids: Int32Array<ArrayBuffer>): Promise<Float32Array> {
  const logits = scope(() => noGrad(() => model.forward(tensor(model.device, ids, [1, ids.length])).logits));
  const values = await logits.data();
  logits.dispose();
  return values;
}

/** Logits [T, V] of one text from a state, in pieces; pieces of 1 through the decoder. */
export async function piecesOf(model: LanguageModel, ids: Int32Array<ArrayBuffer>, pieces: readonly number[]) {
  const decoder = model.decoder();
  let state = model.initialState(1);
  const values: number[] = [];
  let at = 0;
  for (const length of pieces) {
    const part = ids.slice(at, at + length);
    const run = scope(() =>
      length === 1
        ? decoder.step(tensor(model.device, Uint32Array.from(part)), state)
        : noGrad(() => model.forward(tensor(model.device, part, [1, length]), state)),
    );
    values.push(...(await run.logits.data()));
    run.logits.dispose();
    state.dispose();
    state = run.state;
    at += length;
  }
  state.dispose();
  return values;
}
