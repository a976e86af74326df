/**
 * A claim as an experiment: it runs on a device, gives rows, and says how to draw them. A file
 * bench/scenarios/NAME.ts exports one as `scenario`; nothing else lists it. `npm run bench -- --scenario NAME`
 * runs it in Chrome and keeps bench/results/NAME.json, NAME.md and NAME.svg.
 */
import type { Device } from "../../src/gpu/device.ts";

/** A row of the table, by column name; null where there is nothing to say. */
export type Row = Readonly<Record<string, number | string | null>>;

export interface Column {
  /** Key in the rows. */
  readonly name: string;
  /** Heading, with the unit, for instance `memory (MiB)`. */
  readonly label: string;
}

/** How the rows become a picture: one mark a row, one colour a series. */
export interface Picture {
  readonly mark: "line" | "bar";
  /** Names of columns. */
  readonly x: string;
  readonly y: string;
  readonly series?: string;
  /** Axes with a logarithmic scale. */
  readonly log?: readonly ("x" | "y")[];
}

export interface ScenarioOptions {
  /** Smallest sizes that still show the point: for tests. */
  readonly quick: boolean;
  /** Says what is being measured now. */
  readonly progress: (text: string) => void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What a reader should see, in one or two sentences. */
  readonly shows: string;
  readonly columns: readonly Column[];
  readonly pictures: readonly Picture[];
  run(device: Device, options: ScenarioOptions): Promise<readonly Row[]>;
}
