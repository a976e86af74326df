import { modelKind } from "../../src/models/registry.ts";
import type { Settings } from "../protocol.ts";
import { configOf, modelChoices, takes } from "./models.ts";

const WIDEST = 4096;
/** Distance of the widths that are tried. */
const APART = 4;
/** Channels of a head: with fewer it remembers little. */
const HEAD = { least: 16, most: 64 } as const;

const countOf = (settings: Settings, vocabSize: number): number =>
  modelKind(settings.model).parameterCount(configOf(settings, vocabSize));

const rateOf = (model: string): number => modelChoices.find(({ id }) => id === model)?.rate ?? 1;

/**
 * The settings for another model of as many parameters: the same text, batches, steps and depth, its own learning
 * rate, and the width that comes nearest.
 */
export function matchSettings(settings: Settings, model: string, vocabSize: number): Settings {
  if (model === settings.model) return settings;
  const target = countOf(settings, vocabSize);
  const learningRate = Number(((settings.learningRate * rateOf(model)) / rateOf(settings.model)).toPrecision(3));
  let nearest: Settings | null = null;
  let distance = Number.POSITIVE_INFINITY;
  // The count grows with the width: past the target it only goes away from it.
  for (let width = APART; width <= WIDEST; width += APART) {
    const options = headsFor(model, width);
    if (!options) continue;
    const tried = { ...settings, model, options, learningRate, width };
    const count = countOf(tried, vocabSize);
    if (Math.abs(count - target) < distance) [nearest, distance] = [tried, Math.abs(count - target)];
    if (count >= target) break;
  }
  return nearest ?? { ...settings, model, options: {}, learningRate };
}

/** The heads of a width, where the usual ones would be too small; null if no number of heads suits it. */
function headsFor(model: string, width: number): Settings["options"] | null {
  const kind = modelKind(model);
  if (!takes(kind, "heads")) return {};
  const { heads } = kind.sized({ vocabSize: 1, width, numLayers: 1 }) as { heads?: number };
  const suits = (count: number) => {
    const size = width / count;
    return size % 2 === 0 && size >= HEAD.least && size <= HEAD.most;
  };
  if (heads && suits(heads) && (heads > 1 || width < 2 * HEAD.least)) return {};
  for (let count = 2; count * HEAD.least <= width; count++) if (suits(count)) return { heads: count };
  // Too narrow to be divided.
  return width < 2 * HEAD.least && width % 8 === 0 ? {} : null;
}
