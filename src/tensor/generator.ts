import advanceKernel from "../../kernels/random/advance.wgsl";
import fillKernel from "../../kernels/random/fill.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty, tensor } from "./create.ts";
import { splitWord } from "./philox.ts";
import { keep } from "./scope.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Where a generator stands; plain JSON. */
export interface GeneratorState {
  readonly seed: number;
  readonly step: number;
  /** Draws made since the step began. */
  readonly calls: number;
}

const byDevice = new WeakMap<Device, Set<Generator>>();

/** Generators of a device that were not disposed, oldest first: what a training checkpoint has to save. */
export function generatorsOf(device: Device): Generator[] {
  return [...(byDevice.get(device) ?? [])];
}

/** Generators that drew since a `watchDraws` began, with the number of their first draw. */
let watched: Map<Generator, number> | null = null;

/** Runs `fn` and reports which generators drew in it and at which call they started, so that the draws can be repeated. */
export function watchDraws<R>(fn: () => R): { readonly result: R; readonly starts: ReadonlyMap<Generator, number> } {
  const outer = watched;
  const starts = new Map<Generator, number>();
  watched = starts;
  try {
    return { result: fn(), starts };
  } finally {
    watched = outer;
    for (const [generator, call] of starts) if (outer && !outer.has(generator)) outer.set(generator, call);
  }
}

/** Runs `fn` with the generators set back to the given calls, and afterwards to where they were. */
export function repeatDraws<R>(starts: ReadonlyMap<Generator, number>, fn: () => R): R {
  const now = [...starts.keys()].map((generator) => [generator, generator.calls] as const);
  for (const [generator, call] of starts) generator.calls = call;
  try {
    return fn();
  } finally {
    for (const [generator, call] of now) generator.calls = call;
  }
}

/**
 * Random numbers on the GPU, by counter: a number depends on the seed, the step, the draw within the step and its place
 * in the tensor (philox.ts). Seed and step live on the device, so a captured plan that calls `advance` draws anew in
 * every replay, and a backward pass can draw the same numbers again.
 */
export class Generator {
  readonly device: Device;
  /** Seed low, seed high, step low, step high; read by kernels. */
  readonly words: Tensor<"u32">;
  /** Number of the next draw within the step. */
  calls = 0;
  private seed: number;

  constructor(device: Device, seed = 0) {
    this.device = device;
    this.seed = seed;
    this.words = keep(tensor(device, [...splitWord(seed), 0, 0], [4], "u32"));
    let all = byDevice.get(device);
    if (!all) {
      all = new Set();
      byDevice.set(device, all);
    }
    all.add(this);
  }

  /** The number of a draw that is about to be made. */
  next(): number {
    if (watched && !watched.has(this)) watched.set(this, this.calls);
    return this.calls++;
  }

  /** Begins the next step: one small launch. */
  advance(): void {
    this.device.dispatch(advanceKernel, "forward", { state: this.words }, {}, [1]);
    this.calls = 0;
  }

  /** Reads back where the generator stands, also after replays. */
  async state(): Promise<GeneratorState> {
    const calls = this.calls;
    const [, , low = 0, high = 0] = await this.words.data();
    return { seed: this.seed, step: high * 2 ** 32 + low, calls };
  }

  /** Continues where `state` was taken. */
  restore({ seed, step, calls }: GeneratorState): void {
    this.words.write([...splitWord(seed), ...splitWord(step, "step")]);
    this.seed = seed;
    this.calls = calls;
  }

  dispose(): void {
    this.words.dispose();
    byDevice.get(this.device)?.delete(this);
    if (defaults.get(this.device) === this) defaults.delete(this.device);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const defaults = new WeakMap<Device, Generator>();

/** The generator that layers of a device share unless they are given another; seed 0 until `manualSeed`. */
export function defaultGenerator(device: Device): Generator {
  let generator = defaults.get(device);
  if (!generator) {
    generator = new Generator(device);
    defaults.set(device, generator);
  }
  return generator;
}

/** Starts the default generator of a device over with a seed, an integer from 0 to 2^53 - 1. */
export function manualSeed(device: Device, seed: number): void {
  defaultGenerator(device).restore({ seed, step: 0, calls: 0 });
}

function draw<D extends "f32" | "u32">(
  generator: Generator,
  shape: Shape,
  dtype: D,
  entry: "fill_words" | "fill_uniform" | "fill_normal",
  low: number,
  span: number,
): Tensor<D> {
  const { device, words: state } = generator;
  const y = empty(device, shape, dtype);
  const words = Math.ceil(y.size / 4);
  device.dispatch(fillKernel, entry, { state, y }, { words, call: generator.next(), low, span }, [
    Math.ceil(words / 64),
  ]);
  return y;
}

/** Random numbers evenly spread from low to below high, in any shape. */
export function uniform(generator: Generator, shape: Shape, low = 0, high = 1): Tensor<"f32"> {
  return draw(generator, shape, "f32", "fill_uniform", low, high - low);
}

/** Normally distributed random numbers in any shape. */
export function normal(generator: Generator, shape: Shape, mean = 0, deviation = 1): Tensor<"f32"> {
  return draw(generator, shape, "f32", "fill_normal", mean, deviation);
}

/** Random 32-bit words. */
export function randomWords(generator: Generator, shape: Shape): Tensor<"u32"> {
  return draw(generator, shape, "u32", "fill_words", 0, 0);
}
