import type { Choices, GenerateOptions } from "./protocol.ts";

/** A token that could have come, with its share before and after the sampling settings. */
export interface Likely {
  readonly id: number;
  readonly text: string;
  /** What the model holds likely. */
  readonly share: number;
  /** What is drawn from; 0 for what the settings leave out. */
  readonly drawn: number;
  /** It is the one that came. */
  readonly came: boolean;
}

export type Sampling = Pick<GenerateOptions, "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty">;

/**
 * The shares that the sampler draws from: penalty, temperature, top-k, top-p, min-p, in this order. Logits come likeliest
 * first; of a vocabulary that is larger than they are, the rest is left out.
 */
export function drawnShares(logits: ArrayLike<number>, seen: readonly boolean[], sampling: Sampling): number[] {
  const { temperature, topK, topP, minP, repetitionPenalty } = sampling;
  const adjusted = Array.from(logits, (logit, i) => {
    if (!seen[i]) return logit;
    return logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  });
  const order = adjusted.map((_, i) => i).sort((a, b) => (adjusted[b] as number) - (adjusted[a] as number) || a - b);
  const best = order[0] as number;
  if (temperature === 0) return adjusted.map((_, i) => Number(i === best));
  const weight = adjusted.map((logit) => Math.exp((logit - (adjusted[best] as number)) / temperature));
  const kept = order.slice(0, topK || order.length);
  const whole = kept.reduce((sum, i) => sum + (weight[i] as number), 0);
  const shares = adjusted.map(() => 0);
  let before = 0;
  for (const [rank, i] of kept.entries()) {
    const own = weight[i] as number;
    if (rank === 0 || (before < topP * whole && own >= minP)) shares[i] = own;
    before += own;
  }
  const drawn = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / drawn);
}

/** The likeliest at one written token, and that token if it is not among them. */
export function likelyAt(choices: Choices, at: number, sampling: Sampling, most = 8): Likely[] {
  const { ids, from, count, likely, logits, shares, texts, own, written } = choices;
  const row = <A extends Int32Array | Float32Array>(values: A) => values.subarray(at * count, (at + 1) * count) as A;
  const before = new Set(ids.subarray(0, from + at));
  const came = ids[from + at] as number;
  const idsOfRow = [...row(likely)];
  const drawn = drawnShares(
    row(logits),
    idsOfRow.map((id) => before.has(id)),
    sampling,
  );
  const all = idsOfRow.map(
    (id, i): Likely => ({
      id,
      text: texts.get(id) ?? "",
      share: row(shares)[i] as number,
      drawn: drawn[i] as number,
      came: id === came,
    }),
  );
  const shown = all.slice(0, most);
  if (shown.some((one) => one.came)) return shown;
  const other = all.find((one) => one.came);
  const last = other ?? { id: came, text: written[at] ?? "", share: own[at] as number, drawn: 0, came: true };
  return [...shown.slice(0, most - 1), last];
}

/** A token as people can see it. */
export const visible = (text: string): string =>
  text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "∅";
