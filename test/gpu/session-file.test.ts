/** Texts in the making that are saved to a file and go on with the model's checkpoint, bit for bit. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadSession, saveSession } from "../../src/generate/file.ts";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { FileError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import { createModel } from "../../src/models/registry.ts";
import { Random } from "../../src/tensor/philox.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { getGpu } from "../support/device.ts";
import { spreadWeights } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

const vocabSize = 256;
const configs = {
  lstm: { kind: "lstm", vocabSize, embeddingSize: 8, hiddenSize: 12, numLayers: 2, dropout: 0 },
  rwkv4: { kind: "rwkv4", vocabSize, channels: 16, numLayers: 2 },
  "rwkv5.2": { kind: "rwkv5.2", vocabSize, channels: 16, heads: 2, numLayers: 2 },
  rwkv6: { kind: "rwkv6", vocabSize, channels: 16, heads: 2, numLayers: 2 },
  rwkv7: { kind: "rwkv7", vocabSize, channels: 16, heads: 2, numLayers: 2 },
  transformer: { kind: "transformer", vocabSize, channels: 16, heads: 2, numLayers: 2, contextLength: 96, dropout: 0 },
};
type Kind = keyof typeof configs;

function build(kind: Kind): LanguageModel {
  const model = createModel(device, configs[kind], { random: new Random(3) });
  spreadWeights(model);
  return model;
}

const ids = (length: number) => Int32Array.from({ length }, (_, i) => (37 * i + 11) % vocabSize);

async function take(session: Session, maxTokens: number): Promise<number[]> {
  const all: number[] = [];
  for await (const id of session.generate({ maxTokens, temperature: 1, repetitionPenalty: 1.1 })) all.push(id);
  return all;
}

/** Everything that a session is, bit for bit. */
const everything = async (session: Session) => ({ ...(await session.save()), bytes: session.byteLength });

test.each(Object.keys(configs) as Kind[])(
  "%s: a saved session and the checkpoint go on as the session did",
  async (kind) => {
    const { live } = device.stats.memory;
    const model = build(kind);
    const session = new Session(model);
    const { byteLength } = session;
    session.feed(ids(7));
    for await (const _ of session.generate({ maxTokens: 9, seed: 4 }));
    const file = await saveSession(session);
    const checkpoint = await saveCheckpoint(model, new ByteTokenizer());
    const expected = await take(session, 12);
    const after = await everything(session);
    expect(after.bytes).toBe(byteLength);
    session.dispose();
    model.dispose();

    const { model: again } = loadCheckpoint(device, checkpoint);
    const loaded = await loadSession(again, file);
    expect(loaded.position).toBe(16);
    const branch = loaded.branch();
    expect(await take(loaded, 12)).toEqual(expected);
    expect(await everything(loaded)).toEqual(after);
    // Whoever loads it once more, or branched, starts from the same place.
    const second = await loadSession(again, file);
    expect(await saveSession(second)).toEqual(file);
    for (const one of [branch, second]) expect(await take(one, 12)).toEqual(expected);
    for (const one of [loaded, branch, second]) one.dispose();
    again.dispose();
    expect(device.stats.memory.live).toBe(live);
  },
);

test("a session of another model, or no session, is refused in one sentence and changes nothing", async () => {
  const model = build("lstm");
  const session = new Session(model);
  session.feed(ids(3));
  const file = await saveSession(session);
  const other = createModel(device, configs.lstm, { random: new Random(4) });
  const foreign = createModel(device, { ...configs.lstm, kind: "gru" });
  const { live } = device.stats.memory;
  const refused = async (into: LanguageModel, bytes: Uint8Array<ArrayBuffer>, code: string, message: string) => {
    const error = await loadSession(into, bytes).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(FileError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(device.stats.memory.live).toBe(live);
  };
  await refused(
    other,
    file,
    "session-model",
    "saved from another lstm, or one with other weights; load the checkpoint",
  );
  await refused(foreign, file, "session-model", "saved from a model of kind lstm, and this is gru");
  await refused(model, await saveCheckpoint(model, new ByteTokenizer()), "session", "the file holds no session");

  const { metadata, tensors } = parseSafetensors(file);
  const rewritten = (key: string, value: unknown) => {
    const description = { ...JSON.parse(metadata["ostinato.session"] as string), [key]: value };
    const entries = [...tensors].map(([name, { shape, data }]) => {
      return [name, { shape, data: new Float32Array(data.slice().buffer) }] as const;
    });
    return writeSafetensors(entries, { "ostinato.session": JSON.stringify(description) });
  };
  await refused(model, rewritten("position", -1), "session", "the saved position is -1");
  await refused(model, rewritten("sampler", null), "session", "the file is damaged");
  await refused(
    model,
    rewritten("sampler", { settings: {}, seed: 0, position: 0, seen: [[[999, 1]]] }),
    "session",
    "999",
  );

  const before = await everything(session);
  const saved = await session.save();
  expect(() => session.restore({ ...saved, model: new Map() })).toThrow(FileError);
  expect(() => session.restore({ ...saved, position: 0.5 })).toThrow(FileError);
  expect(await everything(session)).toEqual(before);
  session.dispose();
  for (const one of [model, other, foreign]) one.dispose();
});
