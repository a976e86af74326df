import { modelKind } from "../../src/models/registry.ts";
import type { Settings } from "../protocol.ts";
import { configOf, modelChoices, takes } from "./models.ts";

const WIDEST = 4096;
/** Distances of the widths that are tried. Wide models divide into heads of 16 at least, as smaller ones remember little. */
const RECURRENT = 4;
const NARROW = 8;
const WIDE = 16;

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
  const residual = takes(modelKind(model), "channels");
  const at = (width: number): Settings => ({ ...settings, model, options: {}, learningRate, width });
  const distance = (width: number) => Math.abs(countOf(at(width), vocabSize) - target);
  const after = (width: number) => width + (residual ? (width < 4 * WIDE ? NARROW : WIDE) : RECURRENT);
  // The count grows with the width: the first width past the target, or the one before it.
  let before = after(0);
  let width = before;
  while (width < WIDEST && countOf(at(width), vocabSize) < target) {
    before = width;
    width = after(width);
  }
  return at(distance(before) < distance(width) ? before : width);
}
