import { FileError } from "../../src/gpu/errors.ts";
import { tasks } from "../../src/text/tasks.ts";
import type { History, Settings } from "../protocol.ts";

/** What the page adds to a checkpoint: enough to show the run as it was, and to go on with it. */
export interface Saved {
  readonly settings: Settings;
  readonly history: History;
}

type Shape = Readonly<Record<string, (value: unknown) => boolean>>;

const number = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value) && value >= 0;
const size = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1;
const text = (value: unknown): boolean => typeof value === "string";
const oneOf =
  (...names: string[]) =>
  (value: unknown): boolean =>
    names.includes(value as string);
const listOf = (shape: Shape) => (value: unknown) => Array.isArray(value) && value.every((item) => fits(item, shape));

const PLACE: Shape = { step: number, tokens: number, seconds: number, loss: number };
const POINT: Shape = { ...PLACE, gradNorm: number, learningRate: number, tokensPerSecond: number, memoryBytes: number };
const SAMPLE: Shape = { step: number, text };

const SETTINGS: Shape = {
  model: text,
  text: oneOf("moby-dick", "names", "own", ...tasks.map(({ name }) => name)),
  layers: size,
  width: size,
  context: size,
  options: (value) => typeof value === "object" && value !== null && Object.values(value).every(number),
  batch: size,
  sequence: size,
  steps: size,
  learningRate: number,
  schedule: oneOf("constant", "linear", "cosine"),
  clip: number,
  seed: number,
};

const HISTORY: Shape = { points: listOf(POINT), heldOut: listOf(PLACE), samples: listOf(SAMPLE) };

function fits(value: unknown, shape: Shape): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(shape).every(([key, holds]) => holds((value as Record<string, unknown>)[key]));
}

const isSaved = (value: unknown): value is Saved =>
  fits(value, { settings: (part) => fits(part, SETTINGS), history: (part) => fits(part, HISTORY) });

/** @throws FileError unless `value`, from a file of a stranger, is what `Run.checkpoint` writes */
export function checkSaved(value: unknown): Saved {
  if (isSaved(value)) return value;
  throw new FileError(
    "no-run",
    "checkpoint: the file holds no run of this page, or a damaged one; choose a file that was saved with Save",
  );
}

/** Header of a safetensors file that is longer than this is not one of this page. */
const LONGEST = 2 ** 26;

/** Whether a file holds a run of this page, as far as its first bytes tell: those of other programs can only be talked to. */
export async function holdsRun(file: Blob): Promise<boolean> {
  try {
    const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    if (length > LONGEST) return false;
    const { __metadata__ } = JSON.parse(await file.slice(8, 8 + length).text());
    return isSaved(JSON.parse(__metadata__.ostinato).training.settings);
  } catch {
    return false; // whatever it is, opening it as a model will say what is wrong
  }
}
