import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, createServer } from "vite";
import { describe, expect, test } from "vitest";
import { corpusTexts } from "../../demo/corpora/build.ts";
import { fetchCorpus } from "../../demo/corpora/index.ts";
import { corpusFiles } from "../../demo/corpora/plugin.ts";
import { CharTokenizer } from "../../src/text/characters.ts";

const mobyDick = corpusTexts["moby-dick"]();
const names = corpusTexts.names();

test("Moby Dick: whole, in order, tidy", () => {
  expect(mobyDick.startsWith("CHAPTER 1. Loomings.\n\nCall me Ishmael.")).toBe(true);
  const chapters = [...mobyDick.matchAll(/^CHAPTER (\d+)\. /gm)].map(([, number]) => Number(number));
  expect(chapters).toEqual(Array.from({ length: 135 }, (_, i) => i + 1));
  expect(mobyDick.trimEnd().endsWith("only found another orphan.")).toBe(true);
  expect(mobyDick.length).toBeGreaterThan(1_150_000);
  expect(mobyDick.length).toBeLessThan(1_250_000);
  expect(new CharTokenizer(mobyDick).vocabSize).toBe(81);
  expect(mobyDick).not.toMatch(/\r|[ \t]\n|\uFFFD/);
});

test("names: each once, shuffled, the same at every build", () => {
  const lines = names.trimEnd().split("\n");
  expect(lines.length).toBe(8422);
  expect(new Set(lines).size).toBe(lines.length);
  expect(lines.every((name) => /^[A-Z][A-Za-z-]+$/.test(name))).toBe(true);
  expect(lines[0]).toBe("Beale");
  expect(new CharTokenizer(names).vocabSize).toBe(54);
  expect(corpusTexts.names()).toBe(names);
});

describe("the plug-in", () => {
  async function inFolder(run: (root: string) => Promise<void>) {
    const root = mkdtempSync(join(tmpdir(), "corpora-"));
    writeFileSync(join(root, "index.html"), "<!doctype html>");
    try {
      await run(root);
    } finally {
      rmSync(root, { recursive: true });
    }
  }

  const config = (root: string) => ({
    root,
    configFile: false as const,
    base: "./",
    logLevel: "error" as const,
    plugins: [corpusFiles()],
  });

  test("serves the texts in development", () =>
    inFolder(async (root) => {
      const server = await createServer({ ...config(root), server: { port: 0, host: "127.0.0.1" } });
      try {
        await server.listen();
        const base = server.resolvedUrls?.local[0] as string;
        expect(await fetchCorpus("moby-dick", base)).toBe(mobyDick);
        expect(await fetchCorpus("names", `${base}index.html?x=1`)).toBe(names);
      } finally {
        await server.close();
      }
    }));

  test("writes the texts in a build, beside the page's scripts", () =>
    inFolder(async (root) => {
      await build(config(root));
      expect(readFileSync(join(root, "dist/corpora/moby-dick.txt"), "utf8")).toBe(mobyDick);
      expect(readFileSync(join(root, "dist/corpora/names.txt"), "utf8")).toBe(names);
    }));
});
