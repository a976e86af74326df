import { FileError } from "../gpu/errors.ts";
import { findDuplicateKey } from "./duplicates.ts";
import {
  DTYPE_BYTES,
  type FileDType,
  type FileTensor,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  quoted,
  type SafetensorsFile,
} from "./format.ts";

interface Span {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

/** What stands in front of the data of a file. */
export interface SafetensorsHeader {
  readonly metadata: Record<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** Where the data begin, in bytes from the start of the file. */
  readonly dataStart: number;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
}

/** A tensor as the header describes it; its bytes are counted from the start of the data. */
export interface SafetensorsEntry {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a safetensors file. The tensors' data are views of `bytes`; nothing is copied.
 * Names are ordinary keys of a Map, "__proto__" too.
 *
 * @throws FileError whose `code` names the rule that the file breaks; nothing larger than the file is allocated before.
 */
export function parseSafetensors(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): SafetensorsFile {
  const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const header = parseSafetensorsHeader(file, file.length);
  const data = file.subarray(header.dataStart);
  const tensors = new Map<string, FileTensor>();
  for (const [name, { dtype, shape, begin, end }] of header.tensors)
    tensors.set(name, { dtype, shape, data: data.subarray(begin, end) });
  return { metadata: header.metadata, tensors };
}

/** Whether the first bytes can be those of a safetensors file: a length that is possible, then the brace of an object. */
export function looksLikeSafetensors(head: Uint8Array): boolean {
  if (head.length <= LENGTH_BYTES) return false;
  const view = new DataView(head.buffer, head.byteOffset, LENGTH_BYTES);
  const first = head.subarray(LENGTH_BYTES).find((byte) => byte !== 0x20);
  return view.getBigUint64(0, true) <= BigInt(MAX_HEADER_BYTES) && (first === undefined || first === 0x7b);
}

/**
 * Where the data of a file begin.
 * @param head its first bytes, 8 or more
 * @param fileBytes bytes of the whole file, if they are known
 * @throws FileError as `parseSafetensors`
 */
export function safetensorsDataStart(head: Uint8Array, fileBytes = Number.POSITIVE_INFINITY): number {
  return LENGTH_BYTES + headerLength(head, fileBytes);
}

/**
 * Reads the names, dtypes and shapes of a file from its first bytes, up to `safetensorsDataStart`.
 * @param fileBytes bytes of the whole file; if they are not known, they follow from the header
 * @throws FileError as `parseSafetensors`
 */
export function parseSafetensorsHeader(head: Uint8Array, fileBytes?: number): SafetensorsHeader {
  const dataStart = safetensorsDataStart(head, fileBytes);
  const header = parseHeader(head.subarray(LENGTH_BYTES, dataStart));
  const dataBytes = fileBytes === undefined ? Number.POSITIVE_INFINITY : fileBytes - dataStart;
  const tensors = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA_KEY) metadata = parseMetadata(value);
    else tensors.set(name, parseEntry(name, value, dataBytes));
  }
  const covered = checkCoverage([...tensors].map(([name, { begin, end }]) => ({ name, begin, end })));
  if (fileBytes !== undefined && covered !== dataBytes)
    fail("trailing-bytes", `the tensors end at byte ${covered}, but the file holds ${dataBytes} bytes of data`);
  return { metadata, tensors, dataStart, fileBytes: dataStart + covered };
}

function fail(code: string, message: string): never {
  throw new FileError(code, `safetensors: ${message}`);
}

function headerLength(head: Uint8Array, fileBytes: number): number {
  if (head.length === 0) fail("empty-file", "the file has 0 bytes; load it again from its source");
  if (head.length < LENGTH_BYTES)
    fail("file-too-short", `the file has ${head.length} bytes, fewer than the 8 of its length field; load it again`);
  const view = new DataView(head.buffer, head.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(Number.MAX_SAFE_INTEGER))
    fail("header-length-overflow", `the header length ${length} is impossible; this is not a safetensors file`);
  if (length > BigInt(MAX_HEADER_BYTES))
    fail(
      "header-too-large",
      `the header length ${length} is over the limit of ${MAX_HEADER_BYTES} bytes; this is probably not a safetensors file`,
    );
  if (Number(length) > fileBytes - LENGTH_BYTES)
    fail(
      "header-past-end",
      `the header of ${length} bytes does not fit into the file of ${fileBytes} bytes; the file is truncated or foreign`,
    );
  return Number(length);
}

function parseHeader(bytes: Uint8Array): object {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail("header-not-utf8", "the header is not valid UTF-8; this is not a safetensors file");
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    return fail(
      "header-not-json",
      `the header is not JSON (${(error as Error).message}); this is not a safetensors file`,
    );
  }
  if (!isObject(header))
    return fail("header-not-object", `the header must be a JSON object, got ${describe(header)}; write the file again`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined)
    fail("duplicate-name", `the header has the name ${quoted(duplicate)} twice; give each tensor a name of its own`);
  return header;
}

function parseMetadata(value: unknown): Record<string, string> {
  if (!isObject(value))
    return fail("metadata-not-object", `${METADATA_KEY} must be an object of strings, got ${describe(value)}`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string")
      fail("metadata-not-string", `${METADATA_KEY} ${quoted(key)} must be a string, got ${describe(text)}; quote it`);
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, dataBytes: number) {
  const tensor = `tensor ${quoted(name)}`;
  if (!isObject(value))
    return fail("entry-not-object", `${tensor} must be described by an object, got ${describe(value)}`);
  const entry = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  for (const key of ["dtype", "shape", "data_offsets"] as const) {
    if (!Object.hasOwn(entry, key)) fail("entry-incomplete", `${tensor} has no ${key}; write the file again`);
  }
  const dtype = parseDType(tensor, entry.dtype);
  const { shape, size } = parseShape(tensor, entry.shape);
  const { begin, end } = parseOffsets(tensor, entry.data_offsets);
  if (end > dataBytes)
    fail(
      "data-too-short",
      `${tensor} lies at bytes ${begin} to ${end}, but the file holds ${dataBytes} bytes of data; the file is truncated`,
    );
  const expected = size * DTYPE_BYTES[dtype];
  if (expected !== end - begin)
    fail(
      "size-mismatch",
      `${tensor} of ${dtype} ${listed(shape)} needs ${expected} bytes, but its offsets span ${end - begin}`,
    );
  return { dtype, shape, begin, end };
}

function parseDType(tensor: string, dtype: unknown): FileDType {
  if (typeof dtype === "string" && Object.hasOwn(DTYPE_BYTES, dtype)) return dtype as FileDType;
  return fail(
    "dtype-unknown",
    `${tensor} has dtype ${describe(dtype)}; known are ${Object.keys(DTYPE_BYTES).join(", ")}`,
  );
}

function parseShape(tensor: string, shape: unknown): { shape: number[]; size: number } {
  if (!Array.isArray(shape))
    return fail("shape-not-array", `the shape of ${tensor} must be a list, got ${describe(shape)}`);
  let size = 1;
  for (const dim of shape as unknown[]) {
    if (typeof dim !== "number" || !Number.isInteger(dim))
      return fail("shape-not-integer", `the shape of ${tensor} must hold integers, got ${describe(dim)}`);
    if (dim < 0) fail("shape-negative", `the shape of ${tensor} holds the negative size ${dim}`);
    if (!Number.isSafeInteger(dim)) fail("shape-too-large", `the shape of ${tensor} holds a size over 2^53`);
    size *= dim;
    if (!Number.isSafeInteger(size * 8))
      fail("size-overflow", `the shape of ${tensor} has more elements than a file can hold`);
  }
  return { shape: shape as number[], size };
}

function parseOffsets(tensor: string, offsets: unknown): { begin: number; end: number } {
  if (!Array.isArray(offsets) || offsets.length !== 2)
    return fail("offsets-not-pair", `the data_offsets of ${tensor} must be [begin, end], got ${describe(offsets)}`);
  for (const offset of offsets as unknown[]) {
    if (typeof offset !== "number")
      return fail("offset-not-number", `the data_offsets of ${tensor} must be numbers, got ${describe(offset)}`);
    if (offset < 0) fail("offset-negative", `the data_offsets of ${tensor} hold the negative offset ${offset}`);
    if (!Number.isSafeInteger(offset))
      fail("offset-not-integer", `the data_offsets of ${tensor} must be integers below 2^53, got ${offset}`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) fail("offsets-reversed", `${tensor} begins at byte ${begin}, after its end ${end}`);
  return { begin, end };
}

/** Checks that the tensors lie end to end; returns where the last one ends. */
function checkCoverage(spans: Span[]): number {
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of spans) {
    if (begin < covered)
      fail(
        "overlap",
        `tensor ${quoted(name)} begins at byte ${begin}, inside the tensor before it, which ends at ${covered}`,
      );
    if (begin > covered)
      fail("hole", `tensor ${quoted(name)} begins at byte ${begin}, but the tensor before it ends at ${covered}`);
    covered = end;
  }
  return covered;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A shape for an error message, cut where it is absurdly long. */
function listed(shape: readonly number[]): string {
  return shape.length > 8 ? `[${shape.slice(0, 8)},...]` : `[${shape}]`;
}

/** A value for an error message; lists and objects are not spelled out, as they may be huge or nested without end. */
function describe(value: unknown): string {
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return "a list";
  return isObject(value) ? "an object" : String(value);
}
