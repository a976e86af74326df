/**
 * The safetensors format, version 0.x: an unsigned 64-bit little-endian header length, a JSON header
 * { name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__"?: { string: string } }, then the data.
 * Source: the format description of the huggingface/safetensors repository.
 */

/** Bytes an element of each dtype. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

/** Element types of a safetensors file. */
export type FileDType = keyof typeof DTYPE_BYTES;

/** Longest header that a reader accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes of the header's length field. */
export const LENGTH_BYTES = 8;

/** The header key that holds free text instead of a tensor. */
export const METADATA_KEY = "__metadata__";

/** One tensor of a file: its bytes lie as in the file, little-endian and not necessarily aligned. */
export interface FileTensor {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A safetensors file as read: its free text, and its tensors by name. */
export interface SafetensorsFile {
  readonly metadata: Record<string, string>;
  readonly tensors: Map<string, FileTensor>;
}

/** A name from a file, quoted and cut for an error message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}...` : name);
}
