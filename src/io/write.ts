import { FileError } from "../gpu/errors.ts";
import { narrowBfloat, narrowHalf } from "../tensor/half.ts";
import { DTYPE_BYTES, type FileDType, LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY, quoted } from "./format.ts";

export type WriteData =
  | Float32Array
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A tensor to write. `dtype` defaults to that of the array; F16 and BF16 narrow a Float32Array; others must match. */
export interface WriteTensor {
  readonly shape: readonly number[];
  readonly data: WriteData;
  readonly dtype?: FileDType;
}

/** An entry of a state dict, such as `stateDict()` of a module gives. */
export interface WriteState {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface Placed {
  name: string;
  dtype: FileDType;
  shape: readonly number[];
  bytes: Uint8Array;
}

/**
 * Bytes of a safetensors file, of tensors or of a whole state dict. Equal input gives equal bytes: tensors of wider elements come first, so that each is
 * aligned, and otherwise keep their order; the header is padded with spaces to a multiple of 8 bytes.
 *
 * @example
 * const file = writeSafetensors(await model.stateDict());
 *
 * @throws FileError for a duplicate or reserved name, or data that do not fit shape or dtype.
 */
export function writeSafetensors(
  tensors: Iterable<readonly [name: string, tensor: WriteTensor | WriteState]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const names = new Set([METADATA_KEY]);
  const placed: Placed[] = [];
  for (const [name, tensor] of tensors) {
    if (names.has(name))
      fail("duplicate-name", `the name ${quoted(name)} is taken; give each tensor a name of its own`);
    names.add(name);
    placed.push(place(name, "data" in tensor ? tensor : { shape: tensor.shape, data: tensor.values }));
  }
  placed.sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);

  const header = encodeHeader(placed, metadata);
  const dataBytes = placed.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const file = new Uint8Array(LENGTH_BYTES + header.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, LENGTH_BYTES);
  let offset = LENGTH_BYTES + header.length;
  for (const { bytes } of placed) {
    file.set(bytes, offset);
    offset += bytes.length;
  }
  return file;
}

function fail(code: string, message: string): never {
  throw new FileError(code, `writeSafetensors: ${message}`);
}

function place(name: string, { shape, data, dtype = dtypeOf(data) }: WriteTensor): Placed {
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (size !== data.length)
    fail(
      "size-mismatch",
      `tensor ${quoted(name)} has shape [${shape}], which is ${size} elements, but ${data.length} values`,
    );
  const stored = convert(name, data, dtype);
  return { name, dtype, shape, bytes: new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength) };
}

function convert(name: string, data: WriteData, dtype: FileDType): WriteData {
  const own = dtypeOf(data);
  if (own === dtype || (own === "U8" && dtype === "BOOL")) return data;
  if (data instanceof Float32Array && dtype === "F16") return narrowHalf(data);
  if (data instanceof Float32Array && dtype === "BF16") return narrowBfloat(data);
  return fail("dtype-mismatch", `tensor ${quoted(name)} cannot store ${own} values as ${dtype}; convert them first`);
}

function dtypeOf(data: WriteData): FileDType {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Int16Array) return "I16";
  if (data instanceof Uint16Array) return "U16";
  return data instanceof Int8Array ? "I8" : "U8";
}

function encodeHeader(placed: readonly Placed[], metadata: Readonly<Record<string, string>>): Uint8Array {
  // Assembled as text: on an object literal the name "__proto__" would set the prototype and "0" would move to the front.
  const fields: string[] = [];
  if (Object.keys(metadata).length) fields.push(`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(metadata)}`);
  let begin = 0;
  for (const { name, dtype, shape, bytes } of placed) {
    const end = begin + bytes.length;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  if (text.length > MAX_HEADER_BYTES)
    fail("header-too-large", `the header would have ${text.length} bytes, over the limit of ${MAX_HEADER_BYTES}`);
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
  padded.set(text);
  return padded;
}
