import columnsKernel from "../../kernels/reduce/columns.wgsl";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Up to here one invocation adds a column by itself; more rows are summed in chunks first. */
const ONE_STAGE_ROWS = 256;
/** Sums over fewer rows than this in a chunk would not be worth a launch. */
const MIN_CHUNK_ROWS = 32;

/**
 * Column sums for use inside operations, without a gradient of its own: out[b, c] = sum of x[b, r, c] over r,
 * or out += that. Bias gradients and the sums over partial products of a split matrix product.
 * Deterministic. No rows give zeros.
 * @param x seen as [batch, rows, C], whatever its shape; C = out.size / batch
 * @param out seen as [batch, C]
 * @throws ShapeError if x does not divide into rows of C
 */
export function columnSums(x: Tensor, out: Tensor, accumulate = false, batch = 1): void {
  const columns = out.size / batch;
  const rows = out.size === 0 ? 0 : x.size / out.size;
  if (!Number.isInteger(columns) || !Number.isInteger(rows)) {
    throw new ShapeError(
      `columnSums: ${show(x.shape)} does not divide into ${batch} matrices with the columns of ${show(out.shape)}; out must have batch times C elements`,
    );
  }
  if (out.size === 0) return;
  if (rows <= ONE_STAGE_ROWS) {
    sumChunks(x, out, { batch, rows, columns, chunk: Math.max(rows, 1), accumulate });
    return;
  }
  const chunk = Math.max(MIN_CHUNK_ROWS, Math.ceil(Math.sqrt(rows)));
  const chunks = Math.ceil(rows / chunk);
  const partial = empty(x.device, [batch, chunks, columns]);
  sumChunks(x, partial, { batch, rows, columns, chunk, accumulate: false });
  sumChunks(partial, out, { batch, rows: chunks, columns, chunk: chunks, accumulate });
  partial.dispose();
}

interface Chunking {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  /** Rows summed by one invocation. */
  readonly chunk: number;
  readonly accumulate: boolean;
}

function sumChunks(x: Tensor, y: Tensor, { batch, rows, columns, chunk, accumulate }: Chunking): void {
  const vectors = columns % 4 === 0;
  const words = vectors ? columns / 4 : columns;
  const chunks = Math.max(1, Math.ceil(rows / chunk));
  const total = batch * chunks * words;
  x.device.dispatch(
    columnsKernel,
    "forward",
    { x, y },
    { total, rows, words, chunk, chunks },
    [Math.ceil(total / 64)],
    {
      word: vectors ? "vec4f" : "f32",
      ADD: accumulate,
    },
  );
}
