import { ValueError } from "../gpu/errors.ts";
import { Random, type RandomState } from "../tensor/philox.ts";

/** Windows of a text: row b, column t at index b * seqLength + t. The next batch overwrites the arrays. */
export interface Batch {
  readonly inputs: Int32Array<ArrayBuffer>;
  /** The token after each input. */
  readonly targets: Int32Array<ArrayBuffer>;
  /** Whether a carried state must start anew: the rows do not continue those of the batch before. */
  readonly reset: boolean;
}

export interface BatchShape {
  readonly batchSize: number;
  readonly seqLength: number;
}

/** Where batches stand; plain JSON for checkpoints. It fits only the text and batch shape it was taken from. */
export interface BatchState extends BatchShape {
  readonly kind: "random" | "stream";
  /** Length of the text. */
  readonly tokens: number;
  readonly position: number;
  readonly random?: RandomState;
}

/** An endless source of batches of one shape, [batchSize, seqLength]. */
export interface Batches extends BatchShape {
  next(): Batch;
  state(): BatchState;
  /**
   * Goes on where `state` was taken, with the same batches bit for bit.
   * @throws ValueError if it was taken from another text, batch shape or kind
   */
  restore(state: BatchState): void;
}

/**
 * Windows at random offsets, all equally likely and fixed by the seed. Every batch has `reset` set.
 *
 * @throws ValueError if the text is shorter than one window with its last target
 */
export function randomBatches(ids: Int32Array, shape: BatchShape & { readonly seed: number }): Batches {
  const { batchSize, seqLength, seed } = shape;
  const windows = makeWindows("randomBatches", ids, shape, seqLength + 1);
  let random = new Random(seed);
  let position = 0;
  const state = (): BatchState => ({
    kind: "random",
    tokens: ids.length,
    batchSize,
    seqLength,
    position,
    random: random.state(),
  });
  return {
    batchSize,
    seqLength,
    next() {
      for (let row = 0; row < batchSize; row++) windows.copy(row, random.integer(ids.length - seqLength));
      position++;
      return { ...windows.arrays, reset: true };
    },
    state,
    restore(saved) {
      checkState(saved, state());
      if (!saved.random)
        throw new ValueError("batches: the saved position has no random state; the checkpoint is damaged");
      random = Random.from(saved.random);
      position = saved.position;
    },
  };
}

/** The batches of `streamBatches`; a pass over the text has `perPass` of them. */
export interface StreamBatches extends Batches {
  readonly perPass: number;
}

/**
 * The layout of truncated backpropagation through time: the text is cut into batchSize streams of equal length, and row b of
 * consecutive batches walks along stream b, so that a state carried from batch to batch sees a contiguous text. After the
 * last whole window all streams start again, with `reset` set, as it is on the first batch.
 *
 * @throws ValueError if the text has fewer than batchSize * seqLength + 1 tokens
 */
export function streamBatches(ids: Int32Array, shape: BatchShape): StreamBatches {
  const { batchSize, seqLength } = shape;
  const windows = makeWindows("streamBatches", ids, shape, batchSize * seqLength + 1);
  const streamLength = Math.floor((ids.length - 1) / batchSize);
  const perPass = Math.floor(streamLength / seqLength);
  let position = 0;
  const state = (): BatchState => ({ kind: "stream", tokens: ids.length, batchSize, seqLength, position });
  return {
    batchSize,
    seqLength,
    perPass,
    next() {
      const window = position % perPass;
      for (let row = 0; row < batchSize; row++) windows.copy(row, row * streamLength + window * seqLength);
      position++;
      return { ...windows.arrays, reset: window === 0 };
    },
    state,
    restore(saved) {
      checkState(saved, state());
      position = saved.position;
    },
  };
}

function makeWindows(operation: string, ids: Int32Array, { batchSize, seqLength }: BatchShape, needed: number) {
  checkBatchShape(operation, { batchSize, seqLength });
  if (ids.length < needed)
    throw new ValueError(
      `${operation}: the text has ${ids.length} tokens, but ${batchSize} sequences of ${seqLength} need at least ${needed}; ` +
        "use a longer text, shorter sequences or a smaller batch",
    );
  const inputs = new Int32Array(batchSize * seqLength);
  const targets = new Int32Array(batchSize * seqLength);
  return {
    arrays: { inputs, targets },
    /** Puts the window that begins at `offset` into `row`. */
    copy(row: number, offset: number): void {
      inputs.set(ids.subarray(offset, offset + seqLength), row * seqLength);
      targets.set(ids.subarray(offset + 1, offset + 1 + seqLength), row * seqLength);
    },
  };
}

function checkState(saved: BatchState, own: BatchState): void {
  for (const key of ["kind", "tokens", "batchSize", "seqLength"] as const) {
    if (saved[key] !== own[key])
      throw new ValueError(
        `batches: the saved position has ${key} ${saved[key]}, these batches have ${own[key]}; resume with the same text and batch shape`,
      );
  }
  if (!Number.isSafeInteger(saved.position) || saved.position < 0)
    throw new ValueError(
      `batches: the saved position ${saved.position} must be an integer of at least 0; the checkpoint is damaged`,
    );
}

/** @throws ValueError unless both are integers of at least 1 */
export function checkBatchShape(operation: string, { batchSize, seqLength }: BatchShape): void {
  for (const [name, value] of Object.entries({ batchSize, seqLength })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ValueError(`${operation}: ${name} must be an integer of at least 1, got ${value}`);
  }
}
