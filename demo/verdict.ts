import type { CostPoint } from "./protocol.ts";

/** What a comparison found of one model. */
export interface Finding {
  readonly name: string;
  readonly loss: number;
  /** Seconds of training. */
  readonly seconds: number;
  readonly cost: readonly CostPoint[];
}

/** Losses closer than this are a draw: another seed would change their order. */
const DRAW = 0.01;

/** Who has quality, quick training and cheap writing; and whether one has all three. */
export function verdict(findings: readonly Finding[]): string {
  const learner = least(findings, ({ loss }) => loss);
  const trainer = least(findings, ({ seconds }) => seconds);
  const writer = least(findings, ({ cost }) => cost.at(-1)?.milliseconds ?? Number.POSITIVE_INFINITY);
  const keeper = least(findings, ({ cost }) => cost.at(-1)?.bytes ?? Number.POSITIVE_INFINITY);
  const context = writer.cost.at(-1)?.context ?? 0;
  const drawn = findings.filter(({ loss }) => loss - learner.loss < DRAW).length > 1;
  const all = trainer === learner && writer === learner && keeper === learner;
  const parts = [
    `${learner.name} learned best${drawn ? ", by less than another seed may change" : ""} (loss ${learner.loss.toFixed(3)})`,
    `${trainer.name} trained fastest (${trainer.seconds.toFixed(trainer.seconds < 10 ? 1 : 0)} s)`,
    `after ${context.toLocaleString("en")} characters ${writer.name} writes fastest${writer === keeper ? ", in the least memory" : `, and ${keeper.name} needs the least memory`}`,
  ];
  return `${parts.join("; ")}. ${all ? `${learner.name} has all of it here.` : "None has all of it here."}`;
}

function least<T>(items: readonly T[], of: (item: T) => number): T {
  return items.reduce((a, b) => (of(b) < of(a) ? b : a));
}
