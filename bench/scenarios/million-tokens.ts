import { noGrad } from "../../src/autograd/mode.ts";
import type { Device } from "../../src/gpu/device.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import type { ModelState } from "../../src/models/state.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import type { Row, Scenario } from "./scenario.ts";

const SIZE = { vocabSize: 16, width: 16, numLayers: 1 };
/** Tokens of a run in the recurrent form. */
const STEPS = 32;

interface Course {
  /** Tokens after which to measure. */
  readonly marks: readonly number[];
  /** Tokens of a chunk. */
  readonly chunk: number;
  /** Times each run is measured at a mark; the fastest counts, as other programs only add to it. */
  readonly runs: number;
}

/** Reads chunk after chunk, and tells at each mark what a token takes and what is held. */
async function read(device: Device, kind: string, { marks, chunk, runs }: Course, progress: () => void) {
  const model = createModel(device, modelKind(kind).sized(SIZE), { random: new Random(1) });
  const decoder = model.decoder();
  const [state, first, branch] = [0, 1, 2].map(() => model.initialState(1)) as [ModelState, ModelState, ModelState];
  const ids = Int32Array.from({ length: chunk }, (_, i) => (i * 7 + (i >> 3)) % SIZE.vocabSize);
  const [tokens, token] = [tensor(device, ids, [1, chunk]), tensor(device, [1], [1], "u32")];
  const chunkOf = (of: ModelState) => of.assign(noGrad(() => model.forward(tokens, of).state));
  const advance = await capture(device, () => {
    chunkOf(state);
    return null;
  });
  const reading = await capture(device, () => {
    chunkOf(branch);
    return null;
  });
  const writing = await capture(device, () => {
    let now = branch;
    for (let n = 0; n < STEPS; n++) now = decoder.step(token, now).state;
    branch.assign(now);
    return null;
  });
  /** Microseconds a token from the first mark and from here, in turns, so that both meet the same machine. */
  const time = async (replay: () => void, count: number) => {
    const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number];
    for (let run = 0; run < 2 * runs; run++) {
      const which = run % 2;
      branch.assign(which === 0 ? first : state);
      await device.sync();
      const start = performance.now();
      replay();
      await device.sync();
      best[which] = Math.min(best[which] as number, ((performance.now() - start) * 1000) / count);
    }
    return { us: best[1], ratio: best[1] / best[0] };
  };
  const rows: Row[] = [];
  for (let seen = chunk; seen <= (marks.at(-1) as number); seen += chunk) {
    advance.replay();
    await device.sync();
    if (!marks.includes(seen)) continue;
    if (seen === marks[0]) first.assign(state);
    progress();
    const { live, reserved } = device.stats.memory;
    const [chunks, steps] = [await time(() => reading.replay(), chunk), await time(() => writing.replay(), STEPS)];
    rows.push({
      ...{ kind: modelKind(kind).label, seen, state: state.byteLength, live, pool: reserved },
      ...{ reading: chunks.us, readingRatio: chunks.ratio, writing: steps.us, writingRatio: steps.ratio },
    });
  }
  for (const one of [advance, reading, writing, state, first, branch, tokens, token, decoder, model]) one.dispose();
  return rows;
}

export const scenario: Scenario = {
  name: "million-tokens",
  title: "A million tokens of context",
  shows:
    "A tiny RWKV reads a million tokens in chunks of 500, and goes on token by token at marks along the way. State, memory and the time of a token are after a million what they were after the first thousand.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "seen", label: "tokens before" },
    { name: "state", label: "state (bytes)" },
    { name: "live", label: "held by tensors (bytes)" },
    { name: "pool", label: "memory pool (bytes)" },
    { name: "reading", label: "reading (us a token)" },
    { name: "readingRatio", label: "reading, as a multiple of the first mark's" },
    { name: "writing", label: "writing (us a token)" },
    { name: "writingRatio", label: "writing, as a multiple of the first mark's" },
  ],
  pictures: [
    { mark: "line", x: "seen", y: "readingRatio", series: "kind", log: ["x"] },
    { mark: "line", x: "seen", y: "pool", series: "kind", log: ["x"] },
  ],
  async run(device, { quick, progress }) {
    const marks = quick ? [100, 1000] : [1, 50, 100, 200, 500, 1000].map((thousands) => thousands * 1000);
    const course = { marks, chunk: quick ? 50 : 500, runs: quick ? 5 : 60 };
    const rows: Row[] = [];
    for (const kind of quick ? ["rwkv7"] : ["rwkv4", "rwkv7"]) {
      let at = 0;
      rows.push(...(await read(device, kind, course, () => progress(`${kind}, ${marks[at++]} tokens`))));
    }
    return rows;
  },
};
