import type { Catalogue, HeldOutPoint } from "./protocol.ts";
import { decimal, percent } from "./ui/format.ts";

/** By what models of one text are judged: the loss, or of a task the share of right answers. */
export interface Quality {
  /** Begins a caption, heads a column. */
  readonly name: string;
  /** Unit of the axis. */
  readonly unit: string;
  readonly higherIsBetter: boolean;
  /** Closer than this is a draw: another seed would change the order. */
  readonly draw: number;
  of(point: HeldOutPoint): number;
  format(value: number): string;
  /** As an axis says it. */
  tick(value: number): string;
}

const LOSS: Quality = {
  name: "Held-out loss",
  unit: "nats a character",
  higherIsBetter: false,
  draw: 0.01,
  of: ({ loss }) => loss,
  format: decimal,
  tick: (value) => `${+value.toFixed(2)}`,
};

const ANSWERS: Quality = {
  name: "Answers right",
  unit: "held-out answers right",
  higherIsBetter: true,
  draw: 0.02,
  of: ({ accuracy }) => accuracy ?? Number.NaN,
  format: (share) => (Number.isFinite(share) ? percent(share) : "–"),
  tick: percent,
};

export const isTask = ({ texts }: Catalogue, text: string | undefined): boolean =>
  texts.some(({ id, task }) => task && id === text);

export const qualityOf = (catalogue: Catalogue, text: string | undefined): Quality =>
  isTask(catalogue, text) ? ANSWERS : LOSS;
