/** Small trained models of every RWKV version, opened like any file: they must give the published logits and text. */
import { beforeAll, expect, test } from "vitest";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32, toInt32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { openModel } from "../../src/models/open.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { readFile } from "../support/files.ts";
import { chunks, feed } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** Beside the repository, where they are there. */
const MODELS = "../shared/models";
const PROMPTS = [0, 1, 2];
/** Logits, of up to about 20, are to be met so closely; weights that are halved on loading cost what they cost. */
const [CLOSE, HALVED] = [1e-3, 0.02];
interface Published {
  readonly name: string;
  readonly kind: string;
  readonly headEps?: number;
  readonly weights?: "f16";
  readonly atol?: number;
}
const published: readonly Published[] = [
  { name: "tiny-rwkv-4v0-660K", kind: "rwkv4" },
  { name: "tiny-rwkv-4v0-660K.f16", kind: "rwkv4" },
  { name: "tiny-rwkv-4v0-660K.f16", kind: "rwkv4", weights: "f16" },
  { name: "tiny-rwkv-4v0-660K.bf16", kind: "rwkv4" },
  { name: "tiny-rwkv-5v1-730K", kind: "rwkv5.1", headEps: 1e-5 },
  { name: "tiny-rwkv-5v2-730K", kind: "rwkv5.2", headEps: 1e-5 },
  { name: "tiny-rwkv-6v0-3m", kind: "rwkv6" },
  { name: "tiny-rwkv-7v0-834K", kind: "rwkv7" },
  { name: "tiny-rwkv-7v0-834K", kind: "rwkv7", weights: "f16", atol: HALVED },
];
const found = await readFile(`${MODELS}/${published[0]!.name}.safetensors`).then(
  () => true,
  () => false,
);

const named = published.map((file) => ({ ...file, how: file.weights ? "with its weights as halves" : "as it is" }));
test.skipIf(!found).each(named)("$name $how gives its logits and its text", async (file) => {
  const { name, kind, headEps, weights, atol = CLOSE } = file;
  const { live } = device.stats.memory;
  const opened = await openModel(device, await readFile(`${MODELS}/${name}.safetensors`), { headEps, weights });
  expect(opened).toMatchObject({ kind, format: "rwkv", run: null, tokenizer: { vocabSize: 256 } });
  const { model } = opened;
  const { tensors } = parseSafetensors(await readFile(`${MODELS}/${name}.expected.safetensors`));
  const tokens = (n: number) => toInt32(tensors.get(`in.tokens_${n}`)!, "tokens");
  // The half-precision files come with fewer prompts.
  const prompts = PROMPTS.filter((n) => tensors.has(`in.tokens_${n}`));
  expect(prompts.length).toBeGreaterThan(0);
  for (const prompt of prompts.slice(0, atol === CLOSE ? prompts.length : 1)) {
    const ids = tokens(prompt);
    const logits = toFloat32(tensors.get(`out.logits_${prompt}`)!, "logits");
    for (const pieces of [[ids.length], chunks(ids.length, 16), chunks(ids.length, 1)]) {
      const { values } = await feed(model, ids, pieces);
      expectClose(values, logits, { atol, rtol: 0, what: `prompt ${prompt} in pieces of ${pieces}` });
    }
  }
  const text = tensors.get("out.greedy_64");
  if (text && atol === CLOSE) {
    const session = new Session(model);
    session.feed(tokens(0));
    const written: number[] = [];
    for await (const id of session.generate({ maxTokens: 64, temperature: 0 })) written.push(id);
    expect(written).toEqual([...toInt32(text, "greedy")]);
    session.dispose();
  }
  model.dispose();
  expect(device.stats.memory.live).toBe(live);
});
