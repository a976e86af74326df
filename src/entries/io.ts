/**
 * Weight files.
 * @module ostinato/io
 */
// Public names only; nothing inside src imports this file.
export { toFloat32, toInt32, toUint32 } from "../io/convert.ts";
export type { FileDType, FileTensor, SafetensorsFile } from "../io/format.ts";
export { looksLikePyTorch, type PyTorchFile, parsePyTorch } from "../io/pytorch/read.ts";
export { type ByteSource, FileReading, type Progress, type ReadOptions, readAll } from "../io/reader.ts";
export {
  parseSafetensors,
  parseSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  safetensorsDataStart,
} from "../io/safetensors.ts";
export { type WriteState, type WriteTensor, writeSafetensors } from "../io/write.ts";
