import type { CostPoint, HeldOutPoint } from "./protocol.ts";
import type { Quality } from "./quality.ts";

/** What a comparison found of one model. */
export interface Finding {
  readonly name: string;
  readonly heldOut: HeldOutPoint | undefined;
  /** Seconds of training. */
  readonly seconds: number;
  readonly cost: readonly CostPoint[];
}

/** Who has quality, quick training and cheap writing; and whether one has all three. */
export function verdict(findings: readonly Finding[], quality: Quality): string {
  const { of, format, higherIsBetter } = quality;
  const reached = ({ heldOut }: Finding) => (heldOut ? of(heldOut) : Number.NaN);
  const behind = (finding: Finding) => (higherIsBetter ? -1 : 1) * reached(finding);
  const learner = least(findings, behind);
  const trainer = least(findings, ({ seconds }) => seconds);
  const writer = least(findings, ({ cost }) => cost.at(-1)?.milliseconds ?? Number.POSITIVE_INFINITY);
  const keeper = least(findings, ({ cost }) => cost.at(-1)?.bytes ?? Number.POSITIVE_INFINITY);
  const context = writer.cost.at(-1)?.context ?? 0;
  // A draw: another seed would change the order.
  const ahead = findings.filter((finding) => behind(finding) - behind(learner) < quality.draw);
  const how = higherIsBetter ? `${format(reached(learner))} of answers right` : `loss ${format(reached(learner))}`;
  const best =
    ahead.length === findings.length
      ? "All learned about equally well"
      : `${learner.name} learned best${ahead.length > 1 ? ", by less than another seed may change" : ""}`;
  const all = ahead.includes(trainer) && writer === trainer && keeper === trainer;
  const parts = [
    `${best} (${how})`,
    `${trainer.name} trained fastest (${trainer.seconds.toFixed(trainer.seconds < 10 ? 1 : 0)} s)`,
    `after ${context.toLocaleString("en")} characters ${writer.name} writes fastest${writer === keeper ? ", in the least memory" : `, and ${keeper.name} needs the least memory`}`,
  ];
  return `${parts.join("; ")}. ${all ? `${trainer.name} has all of it here.` : "None has all of it here."}`;
}

function least<T>(items: readonly T[], of: (item: T) => number): T {
  return items.reduce((a, b) => (of(b) < of(a) ? b : a));
}
