import { FileError } from "../gpu/errors.ts";
import { widenBfloat, widenHalf } from "../tensor/half.ts";
import { DTYPE_BYTES, type FileDType, type FileTensor, quoted } from "./format.ts";

const integerArrays = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  U16: Uint16Array,
  I16: Int16Array,
  U32: Uint32Array,
  I32: Int32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
} as const;

type IntegerDType = keyof typeof integerArrays;

/**
 * The values of an F32, F16 or BF16 tensor as float32, exactly. F32 is a view of the file where the data are aligned,
 * a copy otherwise: copy it before writing to it.
 *
 * @throws FileError `dtype-not-float` for any other dtype; bytes are never reinterpreted.
 */
export function toFloat32(tensor: FileTensor, name: string): Float32Array<ArrayBuffer> {
  switch (tensor.dtype) {
    case "F32": {
      const bytes = aligned(tensor);
      return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    }
    case "F16":
      return widenHalf(halves(tensor));
    case "BF16":
      return widenBfloat(halves(tensor));
    default:
      throw new FileError(
        "dtype-not-float",
        `tensor ${quoted(name)} is ${tensor.dtype}, but F32, F16 or BF16 is needed here; convert it before saving`,
      );
  }
}

/** The bits of an F16 tensor, a view of the file where the data are aligned; undefined for any other dtype. */
export function halfBits(tensor: FileTensor): Uint16Array<ArrayBuffer> | undefined {
  return tensor.dtype === "F16" ? halves(tensor) : undefined;
}

/**
 * The values of an integer or BOOL tensor as int32.
 *
 * @throws FileError `dtype-not-integer` for a float dtype, `integer-range` for a value that int32 cannot hold.
 */
export function toInt32(tensor: FileTensor, name: string): Int32Array<ArrayBuffer> {
  const source = integers(tensor, name);
  checkRange(source, name, -(2 ** 31), 2 ** 31 - 1);
  return Int32Array.from(source as ArrayLike<number>, Number);
}

/**
 * The values of an integer or BOOL tensor as uint32.
 *
 * @throws FileError `dtype-not-integer` for a float dtype, `integer-range` for a value that uint32 cannot hold.
 */
export function toUint32(tensor: FileTensor, name: string): Uint32Array<ArrayBuffer> {
  const source = integers(tensor, name);
  checkRange(source, name, 0, 2 ** 32 - 1);
  return Uint32Array.from(source as ArrayLike<number>, Number);
}

/** The bytes at an offset that a typed array accepts: odd ones are copied. */
function aligned({ dtype, data }: FileTensor): Uint8Array<ArrayBuffer> {
  return data.byteOffset % DTYPE_BYTES[dtype] === 0 ? data : data.slice();
}

function halves(tensor: FileTensor): Uint16Array<ArrayBuffer> {
  const bytes = aligned(tensor);
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
}

function isInteger(dtype: FileDType): dtype is IntegerDType {
  return Object.hasOwn(integerArrays, dtype);
}

function integers(tensor: FileTensor, name: string): ArrayLike<number | bigint> {
  const { dtype } = tensor;
  if (!isInteger(dtype))
    throw new FileError("dtype-not-integer", `tensor ${quoted(name)} is ${dtype}, but integers are needed here`);
  const bytes = aligned(tensor);
  return new integerArrays[dtype](bytes.buffer, bytes.byteOffset, bytes.length / DTYPE_BYTES[dtype]);
}

function checkRange(source: ArrayLike<number | bigint>, name: string, min: number, max: number): void {
  for (let i = 0; i < source.length; i++) {
    const value = source[i] as number | bigint;
    if (value < min || value > max)
      throw new FileError(
        "integer-range",
        `tensor ${quoted(name)} holds ${value} at index ${i}, outside ${min} to ${max}`,
      );
  }
}
