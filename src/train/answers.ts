import { noGrad } from "../autograd/mode.ts";
import { ValueError } from "../gpu/errors.ts";
import type { LanguageModel } from "../models/language.ts";
import { argmax } from "../ops/argmax.ts";
import { tensor } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import { lineOf, type TaskExample } from "../text/tasks.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** How much of what a model answers is right. */
export interface AnswerAccuracy {
  /** Share of the answers that are right to the last character and end there. */
  readonly answers: number;
  /** Share of the characters, each given the right ones before it. */
  readonly characters: number;
}

/** Examples in one pass of the model. */
const ROWS = 64;

/**
 * Grades a model on questions of a task, such as `taskCorpus(..).heldOut`. An answer counts as right exactly if the model,
 * always taking the likeliest token, would write it after the question and then end the line: every token of it is the
 * likeliest after the right ones before it, which one pass of the parallel form tells for many answers at once.
 *
 * @throws ValueError if there are no examples, or one is longer than the texts that the model takes
 */
export async function answerAccuracy(
  model: LanguageModel,
  tokenizer: Tokenizer,
  examples: readonly TaskExample[],
): Promise<AnswerAccuracy> {
  if (examples.length === 0) throw new ValueError("answerAccuracy: there are no examples; give at least one");
  const { training } = model;
  let [right, characters, total] = [0, 0, 0];
  model.eval();
  try {
    for (let at = 0; at < examples.length; at += ROWS) {
      for (const { hits, count } of await grade(model, tokenizer, examples.slice(at, at + ROWS))) {
        if (hits === count) right++;
        characters += hits;
        total += count;
      }
    }
  } finally {
    if (training) model.train();
  }
  return { answers: right / examples.length, characters: characters / total };
}

/** For each example the tokens of its answer, the end of the line among them, and how many of them were foretold. */
async function grade(model: LanguageModel, tokenizer: Tokenizer, examples: readonly TaskExample[]) {
  // A line begins after the end of another, as in training.
  const lines = examples.map((example) => tokenizer.encode(`\n${lineOf(example)}`));
  const width = Math.max(...lines.map(({ length }) => length)) - 1;
  const ids = new Int32Array(lines.length * width);
  for (const [row, line] of lines.entries()) ids.set(line.subarray(0, -1), row * width);
  const likeliest = scope(() =>
    noGrad(() => keep(argmax(model.forward(tensor(model.device, ids, [lines.length, width])).logits))),
  );
  try {
    const found = await likeliest.data();
    return lines.map((line, row) => {
      const count = tokenizer.encode(`${(examples[row] as TaskExample).answer}\n`).length;
      const first = line.length - count;
      const answer = line.subarray(first);
      return { count, hits: answer.filter((id, i) => id === found[row * width + first - 1 + i]).length };
    });
  } finally {
    likeliest.dispose();
  }
}
