import { ValueError } from "../gpu/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Parameters that share a learning-rate factor and a weight decay: what torch.optim takes as a list of dicts. The rate is
 * a factor, so that one schedule drives all groups.
 */
export interface ParameterGroup {
  readonly parameters: readonly Tensor<"f32">[];
  /** Multiplies the learning rate; default 1. */
  readonly lrScale?: number;
  /** Default: the optimizer's. */
  readonly weightDecay?: number;
}

/** A group with its defaults filled in. */
export interface Rates {
  readonly lrScale: number;
  readonly weightDecay: number;
  /** Values of all its parameters. */
  readonly size: number;
}

/** Plain parameters are one group. */
export function groupsOf(parameters: readonly Tensor<"f32">[] | readonly ParameterGroup[]): readonly ParameterGroup[] {
  const grouped = (list: typeof parameters): list is readonly ParameterGroup[] =>
    list[0] !== undefined && "parameters" in list[0];
  return grouped(parameters) ? parameters : [{ parameters }];
}

/** @throws ValueError naming the group whose factor or decay is out of range */
export function ratesOf(groups: readonly ParameterGroup[], weightDecay: number): Rates[] {
  return groups.map((group, index) => {
    const rates = { lrScale: group.lrScale ?? 1, weightDecay: group.weightDecay ?? weightDecay };
    for (const [name, value] of Object.entries(rates)) {
      if (!(value >= 0 && Number.isFinite(value)))
        throw new ValueError(`optimizer: ${name} of group ${index} is ${value}; use a number of 0 or more`);
    }
    return { ...rates, size: group.parameters.reduce((sum, parameter) => sum + parameter.size, 0) };
  });
}

/** Groups as an optimizer's state holds them: learning-rate factor, weight decay and values of each; null for one group. */
type SavedGroups = Float32Array<ArrayBuffer> | null;

export function sameGroups(a: SavedGroups, b: SavedGroups): boolean {
  return a?.length === b?.length && (a ?? []).every((value, i) => value === b?.[i]);
}

export function shownGroups(groups: SavedGroups): string {
  if (!groups) return "one";
  const short = (value: number) => Number(value.toPrecision(6));
  return Array.from({ length: groups.length / 3 }, (_, n) => {
    const [lrScale = 0, weightDecay = 0, size = 0] = groups.subarray(3 * n);
    return `${size} values at ${short(lrScale)} lr with decay ${short(weightDecay)}`;
  }).join(", ");
}
