import crossEntropyKernel from "../../kernels/loss/cross_entropy.wgsl";
import meanKernel from "../../kernels/loss/mean.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { launchRows } from "./rows.ts";

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** Rows with this target count for nothing, neither in the loss nor in the mean's denominator; default -100. */
  readonly ignoreIndex?: number;
  /** Share of the target's probability that is spread evenly over all classes, from 0 to 1; default 0. */
  readonly labelSmoothing?: number;
  /** `mean` over the rows that count (default), `sum`, or `none`: a loss a row. */
  readonly reduction?: "mean" | "sum" | "none";
  /** Weight of each class, [V]; the mean is then weighted by the targets' weights. */
  readonly classWeight?: Tensor;
}

/**
 * Cross-entropy in nats of logits [..., V] against class ids [...] (i32 or u32), as one fused operation:
 * logsumexp(logits) - logits[target]. Scalar, or [...] with `reduction: "none"`.
 *
 * If no row counts, the mean is 0 with zero gradients (PyTorch: NaN). A target outside [0, V) other than
 * `ignoreIndex` cannot throw here, because it is known to the GPU alone: the loss and that row's gradient are NaN.
 * No gradient flows to `classWeight`.
 * @throws ShapeError if the shapes or dtypes do not fit; ValueError for smoothing outside [0, 1]
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor<"f32"> {
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = "mean", classWeight } = options;
  const { device } = logits;
  const classes = check(logits, targets, labelSmoothing, classWeight);
  const rows = targets.size;
  const { words, groups, knobs } = launchRows(device, rows, classes);
  const flags = { SMOOTH: labelSmoothing > 0, WEIGHTED: classWeight !== undefined };
  const params = { rows, classes, ignored: ignoreIndex, smoothing: labelSmoothing };
  const weights = classWeight ?? logits;
  const losses = empty(device, targets.shape);
  const stats = empty(device, [rows, 4]);
  device.dispatch(
    crossEntropyKernel,
    "forward",
    { logits, targets, weights, losses, stats },
    { ...params, words },
    groups,
    { ...knobs, ...flags },
  );
  const each = reduction === "none";
  const loss = each ? losses : empty(device, []);
  const divisor = empty(device, [1]);
  if (!each) {
    const lanes = device.software ? 16 : 256;
    device.dispatch(meanKernel, "forward", { losses, stats, loss, divisor }, { rows }, [1], {
      LANES: lanes,
      MEAN: reduction === "mean",
    });
    losses.dispose();
  }

  record("crossEntropy", [loss], [logits], [logits, targets, stats, divisor, weights], ([dy], _sink, saved) => {
    if (!dy) return [null];
    const [scores, targets, rowstats, divisor, weights] = saved;
    const dx = empty(device, scores.shape);
    const buffers = { scores, targets, rowstats, divisor, weights, dy, dx };
    const marks = { ...flags, EACH: each };
    if (classes % 4 === 0) {
      const { LANES, ROWS } = knobs;
      device.dispatch(crossEntropyKernel, "backward", buffers, { ...params, words }, groups, { ...marks, LANES, ROWS });
    } else {
      const vectors = Math.ceil(dx.size / 4);
      const all = { ...params, words: vectors };
      const lanes = [Math.ceil(vectors / 64)] as const;
      device.dispatch(crossEntropyKernel, "backwardFlat", buffers, all, lanes, { ...marks, LANES: 64 });
    }
    return [dx];
  });
  stats.dispose();
  divisor.dispose();
  return loss;
}

/** @returns V */
function check(logits: Tensor, targets: Tensor, smoothing: number, classWeight: Tensor | undefined): number {
  logits.check("crossEntropy");
  targets.check("crossEntropy");
  classWeight?.check("crossEntropy");
  const classes = logits.shape.at(-1);
  if (!classes || !sameShape(logits.shape.slice(0, -1), targets.shape)) {
    throw new ShapeError(
      `crossEntropy: logits are ${show(logits.shape)} and targets ${show(targets.shape)}; logits need the targets' shape and a last axis of at least one class`,
    );
  }
  if (targets.dtype === "f32") throw new ShapeError("crossEntropy: targets are f32; class ids must be i32 or u32");
  if (logits.dtype !== "f32") throw new ShapeError(`crossEntropy: logits are ${logits.dtype}; they must be f32`);
  if (classWeight && !sameShape(classWeight.shape, [classes])) {
    throw new ShapeError(
      `crossEntropy: classWeight is ${show(classWeight.shape)}; it needs one weight for each of the ${classes} classes`,
    );
  }
  if (!(smoothing >= 0 && smoothing <= 1))
    throw new ValueError(`crossEntropy: labelSmoothing is ${smoothing}; it must lie between 0 and 1`);
  return classes;
}
