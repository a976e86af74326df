import gateKernel from "../../../kernels/wkv/gate.wgsl";
import { record } from "../../autograd/graph.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";

const LANES = 64;

/**
 * y sigmoid(gate), or y silu(gate), in one launch forward and one back.
 * @throws ShapeError if the shapes differ
 */
export function gated(y: Tensor, gate: Tensor, activation: "sigmoid" | "silu"): Tensor<"f32"> {
  checkFloats("gated", y, gate);
  const { device, shape } = y;
  if (!sameShape(shape, gate.shape))
    throw new ShapeError(`gated: y is ${show(shape)} and gate is ${show(gate.shape)}; they must be equal`);
  const layout = layOut({ y: y.size, gate: y.size });
  const words = Math.ceil(y.size / 4);
  const params = { words, plane: layout.at.gate / 4 };
  const groups = [Math.ceil(words / LANES)] as const;
  const knobs = { SILU: activation === "silu" };
  const out = empty(device, shape);
  device.dispatch(gateKernel, "forward", { y, gate, out }, params, groups, knobs);
  record("gated", [out], [y, gate], [y, gate], ([dout], sink, [y, gate]) => {
    if (!dout) return [];
    const grads = makeRegion(device, layout);
    device.dispatch(gateKernel, "backward", { y, gate, dout, grads }, params, groups, knobs);
    return [layout.at.y, layout.at.gate].map((start, i) => (sink.needs(i) ? windowOf(grads, start, shape) : null));
  });
  return out;
}
