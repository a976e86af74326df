import type { Size } from "../protocol.ts";

/** What all sizes share. */
const COMMON = { schedule: "cosine", clip: 1 } as const;

/** Five stops of the slider on a GPU: seconds, in between, minutes, in between, an hour. */
const HARDWARE: readonly Size[] = [
  { ...COMMON, layers: 1, hidden: 128, embedding: 64, batch: 32, sequence: 64, steps: 400, learningRate: 0.005 },
  { ...COMMON, layers: 1, hidden: 256, embedding: 64, batch: 32, sequence: 64, steps: 1500, learningRate: 0.004 },
  { ...COMMON, layers: 2, hidden: 256, embedding: 128, batch: 64, sequence: 64, steps: 4000, learningRate: 0.003 },
  { ...COMMON, layers: 2, hidden: 512, embedding: 128, batch: 64, sequence: 128, steps: 8000, learningRate: 0.002 },
  { ...COMMON, layers: 3, hidden: 512, embedding: 128, batch: 64, sequence: 128, steps: 20000, learningRate: 0.002 },
];

/** The same on a processor that stands in for a GPU. */
const SOFTWARE: readonly Size[] = [
  { ...COMMON, layers: 1, hidden: 64, embedding: 32, batch: 8, sequence: 32, steps: 200, learningRate: 0.01 },
  { ...COMMON, layers: 1, hidden: 96, embedding: 32, batch: 8, sequence: 32, steps: 500, learningRate: 0.008 },
  { ...COMMON, layers: 1, hidden: 128, embedding: 64, batch: 8, sequence: 48, steps: 1500, learningRate: 0.006 },
  { ...COMMON, layers: 1, hidden: 192, embedding: 64, batch: 16, sequence: 48, steps: 3000, learningRate: 0.004 },
  { ...COMMON, layers: 2, hidden: 256, embedding: 64, batch: 16, sequence: 64, steps: 3000, learningRate: 0.003 },
];

/** One size for each stop of the slider, smallest first. */
export const sizesFor = (software: boolean): readonly Size[] => (software ? SOFTWARE : HARDWARE);
