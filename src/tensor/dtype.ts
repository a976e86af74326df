/** Element types of tensors. Booleans are u32 0 or 1; token ids are u32. */
export type DType = "f32" | "i32" | "u32";

export type TypedArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

export interface ArrayOf {
  f32: Float32Array<ArrayBuffer>;
  i32: Int32Array<ArrayBuffer>;
  u32: Uint32Array<ArrayBuffer>;
}

const constructors = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** Bytes an element; every dtype has 4. */
export const ELEMENT_BYTES = 4;

/** A typed array of `dtype` over bytes, or of a length. */
export function arrayOf<D extends DType>(dtype: D, from: ArrayBuffer | number | readonly number[]): ArrayOf[D] {
  const Constructor = constructors[dtype] as unknown as new (
    from: ArrayBuffer | number | readonly number[],
  ) => ArrayOf[D];
  return new Constructor(from);
}

export function dtypeOf(data: TypedArray): DType {
  if (data instanceof Float32Array) return "f32";
  return data instanceof Int32Array ? "i32" : "u32";
}
