import planesKernel from "../../../kernels/wkv/planes.wgsl";
import type { GradSink } from "../../autograd/graph.ts";
import { empty } from "../../tensor/create.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Place, placeOf } from "../place.ts";

/** A parameter's gradient: the sum of a matrix over its rows. */
export interface PlaneSum {
  /** Position among the inputs of the graph node. */
  readonly input: number;
  readonly shape: Shape;
  /** Value of the region at which the matrix begins. */
  readonly start: number;
}

const LANES = 64;
const MOST = 5;

/**
 * Sums matrices of a region over their rows, in two launches for up to five of them, into the gradients of parameters.
 * @returns what backward returns for each
 */
export function sumPlanes(
  x: Tensor,
  planes: readonly PlaneSum[],
  rows: number,
  channels: number,
  sink: GradSink,
): (Tensor<"f32"> | null)[] {
  const wanted = planes.filter(({ input }) => sink.needs(input)).slice(0, MOST);
  if (wanted.length === 0) return planes.map(() => null);
  const { device } = x;
  const chunk = Math.max(1, Math.ceil(Math.sqrt(rows)));
  const chunks = Math.ceil(rows / chunk);
  const count = wanted.length;
  const [s0 = 0, s1 = 0, s2 = 0, s3 = 0, fifth = 0] = wanted.map(({ start }) => start);
  const params = { starts: [s0, s1, s2, s3] as const, fifth, rows, channels, chunk, chunks };
  const parts = empty(device, [count, chunks, channels]);
  const knobs = { COUNT: count };
  device.dispatch(planesKernel, "sum", { x, parts }, params, [Math.ceil((count * chunks * channels) / LANES)], knobs);
  // Matrices that are not in use still have bindings, which must not be memory that another has.
  const places = Array.from({ length: MOST }, (_, n) => {
    const one = wanted[n];
    return one ? placeOf(device, sink, one.input, one.shape) : placeOf(device, sink, -1, [1]);
  });
  const [p0, p1, p2, p3, p4] = places as [Place, Place, Place, Place, Place];
  const buffers = { sums: parts, d0: p0.grad, d1: p1.grad, d2: p2.grad, d3: p3.grad, d4: p4.grad };
  const added = {
    ADD0: p0.accumulate,
    ADD1: p1.accumulate,
    ADD2: p2.accumulate,
    ADD3: p3.accumulate,
    ADD4: p4.accumulate,
  };
  device.dispatch(planesKernel, "collect", buffers, params, [Math.ceil((count * channels) / LANES)], {
    ...knobs,
    ...added,
  });
  return planes.map((plane) => places[wanted.indexOf(plane)]?.returned ?? null);
}
