import { type StateCourse, stateCourse } from "../../src/generate/inspect.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Look, LookPart } from "../protocol.ts";
import { telling } from "./order.ts";
import type { Voice } from "./voice.ts";

/** Tokens of a text that is looked into. */
const TOKENS = 48;
/** Units of a state that a picture shows; more would be too fine to be seen. */
const ROWS = 64;

/** What a model does with a text: the attention of every head, or the course of every part of its state. */
export async function lookInto({ model, tokenizer }: Voice, text: string): Promise<Look> {
  const all = tokenizer.encode(text);
  const ids = all.slice(0, TOKENS);
  if (ids.length < 2) throw new ValueError("look: the text has fewer than two characters; write a few words");
  const stream = tokenizer.stream();
  const tokens = Array.from(ids, (id) => stream.push(id));
  const parts = model instanceof TransformerLanguageModel ? await attentionOf(model, ids) : await statesOf(model, ids);
  return { tokens, cut: all.length > ids.length, parts };
}

async function attentionOf(model: TransformerLanguageModel, ids: Int32Array<ArrayBuffer>): Promise<LookPart[]> {
  const count = ids.length;
  const layers = scope(() => model.attentionWeights(tensor(model.device, ids, [1, count])));
  const data = await Promise.all(layers.map((layer) => layer.data()));
  for (const layer of layers) layer.dispose();
  const { heads } = model.config;
  return data.flatMap((weights, layer) =>
    Array.from({ length: heads }, (_, head) => ({
      name: `Layer ${layer + 1}, head ${head + 1}`,
      kind: "attention" as const,
      rows: Array.from({ length: count }, (_, i) => i),
      of: count,
      values: weights.slice(head * count * count, (head + 1) * count * count),
    })),
  );
}

/** What the parts of a state are called, by the last word of their names. Those that only hold the last inputs come last. */
const WORDS: Readonly<Record<string, string>> = {
  h: "hidden units",
  c: "cells",
  wkv: "state of the time mix",
  retention: "retention state",
  scan: "scan state",
  shift: "last input",
  conv: "last inputs of the convolution",
};

const lastWord = (name: string): string => name.split(".").at(-1) ?? "";

async function statesOf(model: LanguageModel, ids: Int32Array<ArrayBuffer>): Promise<LookPart[]> {
  const rank = ({ name }: StateCourse) => Number(["shift", "conv"].includes(lastWord(name)));
  const courses = (await stateCourse(model, ids)).sort((a, b) => rank(a) - rank(b));
  return courses.flatMap((course) => partsOf(course, ids.length));
}

/** The layers of a recurrent model share a tensor; matrices of heads are shown head by head. */
function partsOf({ name, shape, values }: StateCourse, count: number): LookPart[] {
  const size = values.length / count;
  if (size < 2) return [];
  const layer = /\d+/.exec(name)?.[0];
  const recurrent = name === "h" || name === "c";
  // [layers, 1, H] of a recurrent model, [1, heads, N, M] of a matrix; anything else in one piece.
  const pieces = recurrent ? (shape[0] as number) : shape.length === 4 ? (shape[1] as number) : 1;
  const words = WORDS[lastWord(name)] ?? name;
  const whose = name.includes("ffn") ? "channel mix, " : "";
  return Array.from({ length: pieces }, (_, piece) => {
    const title = recurrent ? `Layer ${piece + 1}, ` : layer ? `Layer ${Number(layer) + 1}, ${whose}` : "";
    const head = pieces > 1 && !recurrent ? `, head ${piece + 1}` : "";
    const each = size / pieces;
    const course = Float32Array.from({ length: each * count }, (_, i) => {
      const [unit, t] = [Math.floor(i / count), i % count];
      return values[t * size + piece * each + unit] as number;
    });
    const rows = telling(course, each, count, ROWS);
    const shown = new Float32Array(rows.length * count);
    for (const [row, unit] of rows.entries()) shown.set(course.subarray(unit * count, (unit + 1) * count), row * count);
    return { name: `${title}${words}${head}`, kind: "state", rows, of: each, values: shown };
  });
}
