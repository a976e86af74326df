import { Sampler } from "../../../src/ops/sample.ts";
import { tensor } from "../../../src/tensor/create.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  /** Every uniform number draws once from the same logits, with the same tokens seen before. */
  sampling: async (fixture) => {
    const { device, attrs } = fixture;
    const u = await fixture.in("u").data();
    const row = await fixture.in("logits").data();
    const logits = tensor(
      device,
      Float32Array.from({ length: u.length * row.length }, (_, i) => row[i % row.length] as number),
      [u.length, row.length],
    );
    const sampler = new Sampler(device, {
      batch: u.length,
      vocabSize: row.length,
      ...(attrs.temperature !== undefined && { temperature: attrs.temperature }),
      ...(attrs.k !== undefined && { topK: attrs.k }),
      ...(attrs.p !== undefined && { topP: attrs.p }),
      ...(attrs.penalty !== undefined && { repetitionPenalty: attrs.penalty }),
    });
    if (attrs.prev) sampler.see([...u].flatMap(() => attrs.prev as number[]));
    const all = sampler.probabilities(logits);
    const probs = tensor(device, (await all.data()).slice(0, row.length));
    const drawn = sampler.record(logits, fixture.in("u"));
    const token = tensor(device, Int32Array.from(await drawn.data()));
    all.dispose();
    sampler.dispose();
    logits.dispose();
    return { probs, token };
  },
};
