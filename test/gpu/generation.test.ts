import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noGrad } from "../../src/autograd/mode.ts";
import { generate } from "../../src/generate/generate.ts";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { NonFiniteError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { createModel } from "../../src/models/registry.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { getGpu } from "../support/device.ts";

const tokenizer = new CharTokenizer("abcdefghijklmnopqrstuvwxyz .\n");
const kinds = ["rnn", "gru", "lstm", "transformer"] as const;

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

/** Default weights are so small that every token is about as likely; these are not. */
async function build(kind: string, vocabSize = tokenizer.vocabSize, numLayers = 2): Promise<LanguageModel> {
  const config: ModelConfig =
    kind === "transformer"
      ? { kind, vocabSize, channels: 8, heads: 2, numLayers, contextLength: 96, dropout: 0 }
      : { kind, vocabSize, embeddingSize: 8, hiddenSize: 12, numLayers, dropout: 0 };
  const model = createModel(device, config, { random: new Random(3) });
  const state = await model.stateDict();
  for (const { values } of state.values()) for (const [i, value] of values.entries()) values[i] = 3 * value;
  model.loadStateDict(state);
  return model;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Logits after each token, [T][V], in one of the forms that must agree. */
async function logitsOf(
  model: LanguageModel,
  ids: Int32Array<ArrayBuffer>,
  chunks: readonly number[],
  recurrent: boolean,
) {
  const decoder = model.decoder();
  let state = model.initialState(1);
  const rows: number[][] = [];
  const vocabSize = model.config.vocabSize;
  let at = 0;
  for (const length of chunks) {
    const part = ids.slice(at, at + length);
    at += length;
    const result = scope(() =>
      noGrad(() =>
        recurrent
          ? decoder.step(tensor(device, new Uint32Array(part)), state)
          : model.forward(tensor(device, part, [1, length]), state),
      ),
    );
    state.dispose();
    state = result.state;
    const logits = await result.logits.data();
    result.logits.dispose();
    for (let t = 0; t < length; t++) rows.push([...logits.slice(t * vocabSize, (t + 1) * vocabSize)]);
  }
  const last = await state.data();
  state.dispose();
  decoder.dispose();
  return { rows, last };
}

function chunked(length: number, size: number): number[] {
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => Math.min(size, length - i * size));
}

describe("whole sequence, single steps and chunks agree", () => {
  for (const kind of kinds) {
    for (const T of [1, 2, 3, 4, 5, 30, 33, 64, 65]) {
      test(`${kind}, T = ${T}`, async () => {
        const model = await build(kind);
        const ids = Int32Array.from({ length: T }, (_, t) => (13 * t + 7) % tokenizer.vocabSize);
        const whole = await logitsOf(model, ids, [T], false);
        const forms = [
          await logitsOf(model, ids, chunked(T, 1), true),
          await logitsOf(model, ids, [1, ...(T > 1 ? [1] : []), ...(T > 2 ? [T - 2] : [])], false),
          await logitsOf(model, ids, chunked(T, 16), false),
        ];
        for (const form of forms) {
          const worst = Math.max(
            ...whole.rows.flatMap((row, t) => row.map((x, i) => Math.abs(x - (form.rows[t]?.[i] as number)))),
          );
          expect(worst).toBeLessThan(1e-4);
          for (const [name, { values }] of whole.last) {
            const other = form.last.get(name)?.values ?? [];
            expect(Math.max(...[...values].map((x, i) => Math.abs(x - (other[i] as number))))).toBeLessThan(1e-4);
          }
        }
        model.dispose();
      });
    }
  }
});

test("a Transformer's text ends with its context, and a prompt that is too long is refused", async () => {
  const model = await build("transformer");
  const session = new Session(model);
  session.feed(tokenizer.encode("a".repeat(90)));
  expect(await collect(session.generate({ maxTokens: 50 }))).toHaveLength(6);
  await expect(collect(session.generate())).rejects.toThrow(/texts of 96 tokens, and 96 \+ 1 are more/);
  expect(() => session.feed(tokenizer.encode("a"))).toThrow(ValueError);
  session.dispose();
  model.dispose();
});

test("the same seed gives the same text, another seed another", async () => {
  const model = await build("lstm");
  const options = { prompt: "the ", maxTokens: 40, temperature: 1 };
  const text = async (seed: number) => (await collect(generate(model, tokenizer, { ...options, seed }))).join("");
  const first = await text(1);
  expect(first).toHaveLength(40);
  expect(await text(1)).toBe(first);
  expect(await text(2)).not.toBe(first);
  model.dispose();
});

test("greedy text is what taking the best logit step by step gives", async () => {
  const model = await build("gru");
  const ids = [...tokenizer.encode("ab")];
  for (let i = 0; i < 20; i++) {
    const { rows } = await logitsOf(model, Int32Array.from(ids), [ids.length], false);
    const last = rows.at(-1) as number[];
    ids.push(last.indexOf(Math.max(...last)));
  }
  const greedy = await collect(generate(model, tokenizer, { prompt: "ab", maxTokens: 20, temperature: 0 }));
  expect(greedy.join("")).toBe(tokenizer.decode(ids.slice(2)));
  model.dispose();
});

test("how many tokens come back at once does not change them", async () => {
  const model = await build("lstm");
  const run = async (readEvery: number) => {
    const session = new Session(model);
    session.feed(tokenizer.encode("sea"));
    const ids = await collect(session.generate({ maxTokens: 21, seed: 5, readEvery, repetitionPenalty: 1.2 }));
    session.dispose();
    return ids;
  };
  const one = await run(1);
  expect(await run(8)).toEqual(one);
  expect(await run(16)).toEqual(one);
  model.dispose();
});

test("leaving early takes back what nobody took: the session goes on as if each token had been drawn alone", async () => {
  const model = await build("lstm");
  const whole = new Session(model);
  whole.feed(tokenizer.encode("whale"));
  const expected = await collect(whole.generate({ maxTokens: 30, seed: 9, repetitionPenalty: 1.1 }));
  const cut = new Session(model);
  cut.feed(tokenizer.encode("whale"));
  const got: number[] = [];
  for await (const id of cut.generate({ maxTokens: 30, seed: 9, repetitionPenalty: 1.1 })) {
    got.push(id);
    if (got.length === 5) break;
  }
  expect(cut.position).toBe(10);
  got.push(...(await collect(cut.generate({ maxTokens: 25, repetitionPenalty: 1.1 }))));
  expect(got).toEqual(expected);
  whole.dispose();
  cut.dispose();
  model.dispose();
});

test("an abort stops it; the next call works", async () => {
  const model = await build("rnn");
  const session = new Session(model);
  session.feed(tokenizer.encode("x"));
  const controller = new AbortController();
  const got: number[] = [];
  for await (const id of session.generate({ maxTokens: 1000, signal: controller.signal })) {
    got.push(id);
    if (got.length === 3) controller.abort();
  }
  expect(got).toHaveLength(3);
  expect(session.position).toBe(4);
  expect(await collect(session.generate({ maxTokens: 4 }))).toHaveLength(4);
  session.dispose();
  model.dispose();
});

test("text streams in whole characters, and stop texts end it", async () => {
  const bytes = new ByteTokenizer();
  const model = await build("lstm", bytes.vocabSize, 1);
  const told: number[] = [];
  const onToken = (id: number) => void told.push(id);
  const pieces = await collect(generate(model, bytes, { prompt: "é", maxTokens: 64, seed: 2, onToken }));
  const session = new Session(model);
  session.feed(bytes.encode("é"));
  const ids = await collect(session.generate({ maxTokens: 64, seed: 2 }));
  expect(pieces.join("")).toBe(bytes.decode(ids));
  expect(told).toEqual(ids);
  session.dispose();
  const chars = await build("lstm");
  const text = (await collect(generate(chars, tokenizer, { prompt: "a", maxTokens: 40, seed: 1 }))).join("");
  const stop = text.slice(20, 22);
  const stopped = (
    await collect(generate(chars, tokenizer, { prompt: "a", maxTokens: 40, seed: 1, stop: [stop] }))
  ).join("");
  expect(stopped).toBe(text.slice(0, text.indexOf(stop)));
  model.dispose();
  chars.dispose();
});

test("the token that ends a text ends the generation and is not shown; the session can go on after it", async () => {
  const model = await build("lstm");
  const text = (await collect(generate(model, tokenizer, { prompt: "a", maxTokens: 40, seed: 1 }))).join("");
  const [endOfText = 0] = tokenizer.encode(text.charAt(20));
  const ending = {
    vocabSize: tokenizer.vocabSize,
    endOfText,
    encode: (given: string) => tokenizer.encode(given),
    decode: (ids: ArrayLike<number>) => tokenizer.decode(ids),
    stream: () => tokenizer.stream(),
    toJSON: () => tokenizer.toJSON(),
  };
  const session = new Session(model);
  const ended = await collect(generate(model, ending, { prompt: "a", maxTokens: 40, seed: 1, session }));
  const shown = text.slice(0, text.indexOf(text.charAt(20)));
  expect(ended.join("")).toBe(shown);
  expect(session.position).toBe(1 + shown.length + 1);
  expect((await collect(session.generate({ maxTokens: 3 }))).length).toBe(3);
  session.dispose();
  model.dispose();
});

test("memory is given back, also when the loop is left early", async () => {
  const model = await build("lstm");
  await device.sync();
  const { live } = device.stats.memory;
  for (let i = 0; i < 3; i++) {
    for await (const piece of generate(model, tokenizer, { prompt: "abc", maxTokens: 50 })) if (piece) break;
  }
  expect(device.stats.memory.live).toBe(live);
  model.dispose();
});

test("wrong input is one sentence, and the next call works", async () => {
  const model = await build("lstm");
  const run = (options: Parameters<typeof generate>[2]) => collect(generate(model, tokenizer, options));
  await expect(run({ prompt: "Ünknown" })).rejects.toThrow(ValueError);
  await expect(run({ prompt: "a", temperature: -1 })).rejects.toThrow(/temperature/);
  await expect(run({ prompt: "a", temperature: Number.NaN })).rejects.toThrow(/temperature/);
  await expect(run({ prompt: "a", topP: 1.5 })).rejects.toThrow(/topP/);
  await expect(run({ prompt: "a", maxTokens: -1 })).rejects.toThrow(/maxTokens/);
  await expect(run({ prompt: "a", stop: [""] })).rejects.toThrow(/stop/);
  const session = new Session(model);
  await expect(collect(session.generate())).rejects.toThrow(/feed a prompt/);
  session.feed(tokenizer.encode("a"));
  const running = session.generate({ maxTokens: 20 });
  await running.next();
  await expect(collect(session.generate())).rejects.toThrow(/is generating/);
  await running.return();
  expect(await run({ prompt: "a", maxTokens: 3 })).toHaveLength(3);
  session.dispose();
  expect(() => session.feed(tokenizer.encode("a"))).toThrow(/disposed/);
  model.dispose();
});

test("logits that are not finite are an error, not token 0", async () => {
  const model = await build("lstm");
  const state = await model.stateDict();
  (state.get("decoder.bias") as { values: Float32Array }).values[3] = Number.NaN;
  model.loadStateDict(state);
  await expect(collect(generate(model, tokenizer, { prompt: "a" }))).rejects.toThrow(NonFiniteError);
  model.dispose();
});
