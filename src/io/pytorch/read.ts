import { FileError } from "../../gpu/errors.ts";
import { type FileTensor, quoted } from "../format.ts";
import { type PickleValue, readPickle } from "./pickle.ts";
import { StridedTensor, torchHooks } from "./storage.ts";
import { firstRecord, readZip } from "./zip.ts";

/** A file of torch.save. */
export interface PyTorchFile {
  /** By name; those within dictionaries and lists are called `model.weight`, `layers.0`. */
  readonly tensors: Map<string, FileTensor>;
  /** Numbers, texts and flags beside the tensors, by name likewise. */
  readonly values: Map<string, string | number | bigint | boolean | null>;
}

/** How deep dictionaries and lists may lie in each other, and how many entries a file may have. */
const MOST_DEPTH = 64;
const MOST_ENTRIES = 1_000_000;

/** The head of torch.save's format before PyTorch 1.6: protocol 2, then the number 0x1950a86a20f9469cfc6c. */
const LEGACY = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20];

function fail(code: string, message: string): never {
  throw new FileError(code, `pytorch: ${message}`);
}

/** Whether the first bytes are those of a file of torch.save, of the old formats too. */
export function looksLikePyTorch(head: Uint8Array): boolean {
  return isZip(head) || isLegacy(head);
}

const isPickle = (name: string) => name === "data.pkl" || name.endsWith("/data.pkl");

const isZip = (head: Uint8Array) => head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4;

/** A bare pickle, or a tar archive, whose mark stands at byte 257. */
function isLegacy(head: Uint8Array): boolean {
  const mark = String.fromCharCode(...head.subarray(257, 262));
  return LEGACY.every((byte, i) => head[i] === byte) || mark === "ustar";
}

/**
 * Reads a `.pth` or `.pt` file as torch.save writes it since PyTorch 1.6. The tensors' data are views of `bytes`, but
 * for those that are not contiguous, which are copied when asked for. Only tensors and containers are understood, and
 * nothing is ever executed: any other part of the pickle ends the reading.
 * @throws FileError whose `code` names what is wrong with the file
 */
export function parsePyTorch(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): PyTorchFile {
  const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  if (isLegacy(file))
    fail(
      "pytorch-legacy",
      "the file is in the format before PyTorch 1.6; save it again: torch.save(torch.load(path), path)",
    );
  if (!isZip(file))
    fail("pytorch-foreign", "the file is no zip archive as torch.save writes it; check what was loaded");
  const records = readZip(file);
  const pickle = [...records.keys()].find(isPickle);
  if (pickle === undefined)
    return fail("pytorch-foreign", "the zip archive holds no data.pkl; it was not written by torch.save");
  const root = pickle.slice(0, -"data.pkl".length);
  const order = records.get(`${root}byteorder`);
  if (order && new TextDecoder().decode(order).trim() !== "little")
    fail("pytorch-byteorder", "the file was written on a big-endian machine; save it again on another");
  const content = readPickle(
    records.get(pickle) as Uint8Array<ArrayBuffer>,
    torchHooks((key) => records.get(`${root}data/${key}`)),
  );
  const result: PyTorchFile = { tensors: new Map(), values: new Map() };
  collect(content, result);
  return result;
}

/**
 * Dtypes and shapes by name, from the first bytes of a `.pth` or `.pt` file: torch.save writes what describes the tensors
 * in front of their data.
 * @returns null if these bytes do not hold all of it, or the file was put together otherwise
 * @throws FileError as `parsePyTorch`
 */
export function parsePyTorchHead(
  head: Uint8Array<ArrayBuffer>,
): ReadonlyMap<string, Pick<FileTensor, "dtype" | "shape">> | null {
  const first = firstRecord(head);
  if (!first || !isPickle(first.name)) return null;
  const result: PyTorchFile = { tensors: new Map(), values: new Map() };
  collect(readPickle(first.content, torchHooks(null)), result);
  return result.tensors;
}

/** Files every tensor and plain value under its path. One container can stand in many places, so visits are counted. */
function collect(content: PickleValue, into: PyTorchFile): void {
  let visits = 0;
  const visit = (value: PickleValue, path: readonly (string | number)[]): void => {
    const name = path.join(".");
    if (into.tensors.has(name) || into.values.has(name))
      fail("duplicate-name", `the name ${quoted(name)} comes up twice; give each tensor a name of its own`);
    if (path.length > MOST_DEPTH || ++visits > MOST_ENTRIES)
      fail(
        "pytorch-nesting",
        `the file nests more than ${MOST_DEPTH} deep or has more than ${MOST_ENTRIES} entries; a checkpoint is a dictionary of tensors`,
      );
    if (value instanceof StridedTensor) into.tensors.set(name, value);
    else if (value instanceof Map) for (const [key, entry] of value) visit(entry, [...path, key]);
    else if (Array.isArray(value)) for (const [i, entry] of value.entries()) visit(entry, [...path, i]);
    else if (typeof value !== "object" || value === null) into.values.set(name, value);
    else fail("pytorch-content", `${quoted(name)} is a ${value.opaque}; a checkpoint is a dictionary of tensors`);
  };
  visit(content, []);
}
