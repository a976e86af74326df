/**
 * Tokenizers, corpora and batches.
 * @module ostinato/text
 */
// Public names only; nothing inside src imports this file.
export { type Batch, type Batches, type BatchState, randomBatches, streamBatches } from "../text/batches.ts";
export { ByteTokenizer } from "../text/bytes.ts";
export { CharTokenizer } from "../text/characters.ts";
export { type Corpus, readCorpus, splitIds } from "../text/corpus.ts";
export { gpt2Tokenizer } from "../text/gpt2.ts";
export { jsonTokenizer } from "../text/json.ts";
export { readTokenizer, restoreTokenizer, tokenizerFromJSON } from "../text/restore.ts";
export { type Encoded, encodeSource, type TextSource } from "../text/source.ts";
export {
  isHeldOut,
  type Task,
  type TaskCorpus,
  type TaskExample,
  type TaskName,
  type TaskOptions,
  taskCorpus,
  taskOf,
  tasks,
} from "../text/tasks.ts";
export type { TextStream, Tokenizer, TokenizerDescription } from "../text/tokenizer.ts";
export { WorldTokenizer, worldTokenizer } from "../text/world.ts";
