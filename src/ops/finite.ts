import nonfiniteKernel from "../../kernels/reduce/nonfinite.wgsl";
import { empty } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";

/** Workgroups of the first launch at most; each then takes several blocks. Emulations pay for each one's barriers. */
const MOST_GROUPS = 1024;
const MOST_GROUPS_EMULATED = 16;

/**
 * How many elements, of any shape, are NaN or infinite, as a u32 scalar [] on the device.
 * @throws ShapeError if x does not hold f32
 */
export function countNonFinite(x: Tensor): Tensor<"u32"> {
  checkFloats("countNonFinite", x);
  const { device } = x;
  const groups = Math.min(Math.max(Math.ceil(x.size / 256), 1), device.software ? MOST_GROUPS_EMULATED : MOST_GROUPS);
  const y = empty(device, [], "u32");
  if (groups === 1) {
    device.dispatch(nonfiniteKernel, "forward", { x, y }, { count: x.size }, [1]);
    return y;
  }
  const counts = empty(device, [groups], "u32");
  device.dispatch(nonfiniteKernel, "forward", { x, y: counts }, { count: x.size }, [groups]);
  device.dispatch(nonfiniteKernel, "total", { x: counts, y }, { count: groups }, [1]);
  counts.dispose();
  return y;
}
