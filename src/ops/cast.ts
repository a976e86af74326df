import castKernel from "../../kernels/elementwise/cast.wgsl";
import { empty } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import { reshape } from "./reshape.ts";

/** Largest and smallest f32 that the type holds. */
const bounds = { i32: [-2147483648, 2147483520], u32: [0, 4294967040], f32: [0, 0] } as const;

/**
 * The elements as another number type, in the same shape. From f32, fractions are cut off towards 0 and numbers outside the range take its nearest end; from one
 * whole type to the other the bits stay. Only f32 to f32 passes a gradient.
 */
export function cast<D extends DType>(x: Tensor, dtype: D): Tensor<D> {
  x.check("cast");
  if (x.dtype === dtype) return x.dtype === "f32" ? (reshape(x, x.shape) as Tensor<D>) : (share(x) as Tensor<D>);
  const y = empty(x.device, x.shape, dtype);
  const words = Math.ceil(x.size / 4);
  const [lowest, highest] = bounds[dtype];
  x.device.dispatch(castKernel, "forward", { x, y }, { words }, [Math.ceil(words / 64)], {
    source: x.dtype,
    result: dtype,
    LOWEST: lowest,
    HIGHEST: highest,
    CLAMP: x.dtype === "f32",
  });
  return y;
}
