import { FileError } from "../../gpu/errors.ts";
import { quoted } from "../format.ts";
import { crc32 } from "./crc.ts";

/**
 * The part of the zip format that torch.save writes: stored records, found by the directory at the end of the file.
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.9 (descriptor),
 * 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
 */

const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR = 0x08074b50;
/** Bits of a record's flags: it is encrypted; its size stands behind it. */
const ENCRYPTED = 1;
const DESCRIBED = 8;
const ENTRY = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const MOST_COMMENT = 0xffff;
/** In a 32-bit field: the value stands in the 64-bit extra field. */
const ELSEWHERE = 0xffffffff;
const EXTRA64 = 1;

function fail(code: string, message: string): never {
  throw new FileError(code, `zip: ${message}`);
}

/**
 * The records of a zip file by name, as views of `file`; nothing is copied.
 * @throws FileError for a file that is truncated or no zip, and for records that are compressed, encrypted, or differ from
 * their checksum
 */
export function readZip(file: Uint8Array<ArrayBuffer>): Map<string, Uint8Array<ArrayBuffer>> {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const { begin, end, count } = findDirectory(view);
  const records = new Map<string, Uint8Array<ArrayBuffer>>();
  let at = begin;
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== ENTRY)
      fail("zip-directory", `the directory ends after ${i} of ${count} records; the file is damaged`);
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > end) fail("zip-directory", `record ${i} of ${count} reaches past the directory; the file is damaged`);
    const name = new TextDecoder().decode(file.subarray(at + 46, nameEnd));
    if (records.has(name)) fail("zip-duplicate", `the record ${quoted(name)} stands in the file twice`);
    records.set(name, recordAt(file, view, name, { at, nameEnd, extraEnd }));
    at = next;
  }
  return records;
}

/**
 * The first record of a zip file, from the file's first bytes, as a view of them.
 * @returns null if they do not hold all of it, or it is not stored as torch.save stores records
 */
export function firstRecord(
  head: Uint8Array<ArrayBuffer>,
): { readonly name: string; readonly content: Uint8Array<ArrayBuffer> } | null {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < LOCAL_BYTES || view.getUint32(0, true) !== LOCAL) return null;
  const [flags, method] = [view.getUint16(6, true), view.getUint16(8, true)];
  const nameEnd = LOCAL_BYTES + view.getUint16(26, true);
  const begin = nameEnd + view.getUint16(28, true);
  if (flags & ENCRYPTED || method !== 0 || begin > head.length) return null;
  const end = flags & DESCRIBED ? describedEnd(view, begin) : begin + view.getUint32(18, true);
  if (end > head.length) return null;
  return { name: new TextDecoder().decode(head.subarray(LOCAL_BYTES, nameEnd)), content: head.subarray(begin, end) };
}

/** Where a record ends whose size stands behind it, in a descriptor of signature, checksum and size. */
function describedEnd(view: DataView, begin: number): number {
  for (let at = begin; at + 12 <= view.byteLength; at++) {
    if (
      view.getUint8(at) === 0x50 &&
      view.getUint32(at, true) === DESCRIPTOR &&
      view.getUint32(at + 8, true) === at - begin
    )
      return at;
  }
  return Number.POSITIVE_INFINITY;
}

/** Where the directory lies: the end record stands at the very end, in front of a comment that is mostly empty. */
function findDirectory(view: DataView): { begin: number; end: number; count: number } {
  const first = Math.max(0, view.byteLength - END_BYTES - MOST_COMMENT);
  let at = view.byteLength - END_BYTES;
  while (at >= first && view.getUint32(at, true) !== END) at--;
  if (at < first) fail("zip-end", "the file has no directory at its end; it is truncated, so load it again");
  let count = view.getUint16(at + 10, true);
  let bytes = view.getUint32(at + 12, true);
  let begin = view.getUint32(at + 16, true);
  const locator = at - LOCATOR_BYTES;
  let end = at;
  if (locator >= 0 && view.getUint32(locator, true) === END64_LOCATOR) {
    const end64 = long(view, locator + 8);
    if (end64 + 56 > locator || view.getUint32(end64, true) !== END64)
      fail(
        "zip-directory",
        `the directory's end is said to lie at byte ${end64}, but is not there; the file is damaged`,
      );
    count = long(view, end64 + 32);
    bytes = long(view, end64 + 40);
    begin = long(view, end64 + 48);
    end = end64;
  }
  if (begin + bytes > end)
    fail(
      "zip-directory",
      `the directory is said to lie at bytes ${begin} to ${begin + bytes} of ${view.byteLength}; the file is truncated`,
    );
  return { begin, end: begin + bytes, count };
}

/** The bytes of the record whose directory entry stands at `at`. */
function recordAt(
  file: Uint8Array<ArrayBuffer>,
  view: DataView,
  name: string,
  { at, nameEnd, extraEnd }: { at: number; nameEnd: number; extraEnd: number },
): Uint8Array<ArrayBuffer> {
  const record = `the record ${quoted(name)}`;
  if (view.getUint16(at + 8, true) & ENCRYPTED)
    fail("zip-encrypted", `${record} is encrypted; save the file without a password`);
  const method = view.getUint16(at + 10, true);
  if (method !== 0)
    fail(
      "zip-compressed",
      `${record} is compressed (method ${method}); torch.save stores records as they are, so save it again with that`,
    );
  const stored = view.getUint32(at + 20, true);
  const size = view.getUint32(at + 24, true);
  const header = view.getUint32(at + 42, true);
  const wide = extra64(view, nameEnd, extraEnd);
  const take = (field: number) => (field === ELSEWHERE && wide.length > 0 ? (wide.shift() as number) : field);
  // In this order, and only those that do not fit their 32 bits.
  const bytes = take(size);
  const storedBytes = take(stored);
  const local = take(header);
  if (bytes !== storedBytes)
    fail("zip-size", `${record} has ${bytes} bytes but stores ${storedBytes}; the file is damaged`);
  if (local + LOCAL_BYTES > file.length || view.getUint32(local, true) !== LOCAL)
    fail("zip-record", `${record} is said to lie at byte ${local}, but is not there; the file is damaged`);
  const begin = local + LOCAL_BYTES + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  if (begin + bytes > file.length)
    fail("zip-record", `${record} of ${bytes} bytes reaches past the file of ${file.length}; the file is truncated`);
  const content = file.subarray(begin, begin + bytes);
  // torch.save can be told to leave the checksums out, and then writes zeros.
  const checksum = view.getUint32(at + 16, true);
  if (checksum !== 0 && checksum !== crc32(content))
    fail("zip-checksum", `${record} differs from its checksum; the file is damaged, so load it again`);
  return content;
}

/** The 64-bit values in an entry's extra fields. */
function extra64(view: DataView, begin: number, end: number): number[] {
  for (let at = begin; at + 4 <= end; ) {
    const bytes = view.getUint16(at + 2, true);
    const data = at + 4;
    if (view.getUint16(at, true) === EXTRA64) {
      const count = Math.min(3, Math.floor(Math.min(bytes, end - data) / 8));
      return Array.from({ length: count }, (_, i) => long(view, data + 8 * i));
    }
    at = data + bytes;
  }
  return [];
}

/** A 64-bit number; what a double cannot hold becomes one that fits no file. */
function long(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
