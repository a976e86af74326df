import type { Size } from "../protocol.ts";

// Attention sees as far as it was trained to: the context is the sequence.

/** What all sizes share. */
const COMMON = { schedule: "cosine", clip: 1 } as const;

/** Five stops of the slider on a GPU: seconds, in between, minutes, in between, an hour. */
const HARDWARE: readonly Size[] = [
  { ...COMMON, layers: 1, width: 128, batch: 32, sequence: 64, context: 64, steps: 400, learningRate: 0.005 },
  { ...COMMON, layers: 1, width: 256, batch: 32, sequence: 64, context: 64, steps: 1500, learningRate: 0.004 },
  { ...COMMON, layers: 2, width: 256, batch: 64, sequence: 64, context: 64, steps: 4000, learningRate: 0.003 },
  { ...COMMON, layers: 2, width: 512, batch: 64, sequence: 128, context: 128, steps: 8000, learningRate: 0.002 },
  { ...COMMON, layers: 3, width: 512, batch: 64, sequence: 128, context: 128, steps: 20000, learningRate: 0.002 },
];

/** The same on a processor that stands in for a GPU. */
const SOFTWARE: readonly Size[] = [
  { ...COMMON, layers: 1, width: 64, batch: 8, sequence: 32, context: 32, steps: 200, learningRate: 0.01 },
  { ...COMMON, layers: 1, width: 96, batch: 8, sequence: 32, context: 32, steps: 500, learningRate: 0.008 },
  { ...COMMON, layers: 1, width: 128, batch: 8, sequence: 48, context: 48, steps: 1500, learningRate: 0.006 },
  { ...COMMON, layers: 1, width: 192, batch: 16, sequence: 48, context: 48, steps: 3000, learningRate: 0.004 },
  { ...COMMON, layers: 2, width: 256, batch: 16, sequence: 64, context: 64, steps: 3000, learningRate: 0.003 },
];

/** One size for each stop of the slider, smallest first. */
export const sizesFor = (software: boolean): readonly Size[] => (software ? SOFTWARE : HARDWARE);
