import fillKernel from "../../kernels/elementwise/fill.wgsl";
import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { arrayOf, type DType, dtypeOf, ELEMENT_BYTES, type TypedArray } from "./dtype.ts";
import { type Shape, show, sizeOf } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** Nested arrays of numbers, as `[[1, 2], [3, 4]]`. */
export type Nested = number | readonly Nested[];

/**
 * A tensor of any shape with undefined content.
 * @throws ValueError for a size that is no whole number of 0 or more
 */
export function empty<D extends DType = "f32">(device: Device, shape: Shape, dtype: D = "f32" as D): Tensor<D> {
  checkSizes(shape);
  return new Tensor(device, [...shape], dtype, device.allocate(sizeOf(shape) * ELEMENT_BYTES, `tensor ${show(shape)}`));
}

/** A tensor that takes no memory before its first values, which `write` gives it. */
export function blank(device: Device, shape: Shape): Tensor<"f32"> {
  checkSizes(shape);
  return new Tensor(device, [...shape], "f32", null);
}

/**
 * A tensor from host values: a typed array (with its dtype), a number, or nested arrays (f32 unless given).
 * @param shape default: the nesting, or one axis for a typed array
 * @throws ShapeError if the values do not fill the shape
 */
export function tensor(device: Device, values: Float32Array<ArrayBuffer>, shape?: Shape): Tensor<"f32">;
export function tensor(device: Device, values: Int32Array<ArrayBuffer>, shape?: Shape): Tensor<"i32">;
export function tensor(device: Device, values: Uint32Array<ArrayBuffer>, shape?: Shape): Tensor<"u32">;
export function tensor<D extends DType = "f32">(device: Device, values: Nested, shape?: Shape, dtype?: D): Tensor<D>;
export function tensor(device: Device, values: TypedArray | Nested, shape?: Shape, dtype: DType = "f32"): Tensor {
  const typed = ArrayBuffer.isView(values);
  const data = typed ? values : arrayOf(dtype, flatten(values));
  const sizes = shape ?? (typed ? [data.length] : nesting(values));
  checkSizes(sizes);
  if (sizeOf(sizes) !== data.length) {
    throw new ShapeError(`tensor: ${data.length} values do not fill ${show(sizes)}; it has ${sizeOf(sizes)} elements`);
  }
  return new Tensor(device, [...sizes], typed ? dtypeOf(values) : dtype, device.upload(data, `tensor ${show(sizes)}`));
}

/**
 * A tensor of any shape filled with one value.
 * @throws ValueError for a size that is no whole number of 0 or more
 */
export function full<D extends DType = "f32">(
  device: Device,
  shape: Shape,
  value: number,
  dtype: D = "f32" as D,
): Tensor<D> {
  return fill(empty(device, shape, dtype), value);
}

/**
 * A tensor of zeros of any shape.
 * @throws ValueError for a size that is no whole number of 0 or more
 */
export function zeros<D extends DType = "f32">(device: Device, shape: Shape, dtype: D = "f32" as D): Tensor<D> {
  return full(device, shape, 0, dtype);
}

/**
 * A tensor of ones of any shape.
 * @throws ValueError for a size that is no whole number of 0 or more
 */
export function ones<D extends DType = "f32">(device: Device, shape: Shape, dtype: D = "f32" as D): Tensor<D> {
  return full(device, shape, 1, dtype);
}

/** Overwrites every element in place. */
export function fill<D extends DType>(target: Tensor<D>, value: number): Tensor<D> {
  target.check("fill");
  const bits = new Uint32Array(arrayOf(target.dtype, [value]).buffer)[0] as number;
  const words = Math.ceil(target.size / 4);
  target.device.dispatch(fillKernel, "fill", { y: target }, { words, bits }, [Math.ceil(words / 64)]);
  return target;
}

function flatten(values: Nested): number[] {
  return typeof values === "number" ? [values] : values.flatMap(flatten);
}

function nesting(values: Nested): number[] {
  if (typeof values === "number") return [];
  const first = values[0];
  const inner = first === undefined ? [] : nesting(first);
  for (const value of values) {
    if (show(nesting(value)) !== show(inner)) {
      throw new ShapeError(
        `tensor: the nested arrays are ragged (${show(inner)} beside ${show(nesting(value))}); make them equally long`,
      );
    }
  }
  return [values.length, ...inner];
}

function checkSizes(shape: Shape): void {
  if (shape.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new ValueError(`tensor: ${show(shape)} is no shape; sizes are whole numbers of 0 or more`);
  }
}
