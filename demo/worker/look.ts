import { type StateCourse, stateCourse } from "../../src/generate/inspect.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Look, LookPart } from "../protocol.ts";
import type { Voice } from "./voice.ts";

/** Tokens of a text that is looked into. */
const TOKENS = 48;
/** Units of a state that a picture shows; more would be finer than its pixels. */
const ROWS = 256;

/** What a model does with a text: the attention of every head, or the course of every part of its state. */
export async function lookInto({ model, tokenizer }: Voice, text: string): Promise<Look> {
  const ids = tokenizer.encode(text).slice(0, TOKENS);
  if (ids.length < 2) throw new ValueError("look: the text has fewer than two characters; write a few words");
  const stream = tokenizer.stream();
  const tokens = Array.from(ids, (id) => stream.push(id));
  const parts =
    model instanceof TransformerLanguageModel
      ? await attentionOf(model, ids)
      : (await stateCourse(model, ids)).flatMap((course) => partsOf(course, ids.length));
  return { tokens, parts, model: model.config.kind };
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
      rows: count,
      values: weights.slice(head * count * count, (head + 1) * count * count),
    })),
  );
}

/** What the parts of a state are called, by the last word of their names. */
const WORDS: Readonly<Record<string, string>> = {
  h: "hidden units",
  c: "cells",
  wkv: "state of the time mix",
  shift: "last input",
  retention: "retention state",
  scan: "scan state",
  conv: "last inputs of the convolution",
};

/** The layers of a recurrent model share a tensor; matrices of heads are shown head by head. */
function partsOf({ name, shape, values }: StateCourse, count: number): LookPart[] {
  const size = values.length / count;
  if (size < 2) return [];
  const layer = /\d+/.exec(name)?.[0];
  const recurrent = name === "h" || name === "c";
  // [layers, 1, H] of a recurrent model, [1, heads, N, M] of a matrix; anything else in one piece.
  const pieces = recurrent ? (shape[0] as number) : shape.length === 4 ? (shape[1] as number) : 1;
  const words = WORDS[name.split(".").at(-1) ?? ""] ?? name;
  const whose = name.includes("ffn") ? "channel mix, " : "";
  return Array.from({ length: pieces }, (_, piece) => {
    const title = recurrent ? `Layer ${piece + 1}, ` : layer ? `Layer ${Number(layer) + 1}, ${whose}` : "";
    const head = pieces > 1 && !recurrent ? `, head ${piece + 1}` : "";
    const each = size / pieces;
    const rows = Math.min(ROWS, each);
    return {
      name: `${title}${words}${head}`,
      kind: "state",
      rows,
      values: Float32Array.from({ length: rows * count }, (_, i) => {
        const [row, t] = [Math.floor(i / count), i % count];
        return values[t * size + piece * each + Math.floor((row * each) / rows)] as number;
      }),
    };
  });
}
