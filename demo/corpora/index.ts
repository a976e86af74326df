/** The texts that come with the demo. */
export const corpora = [
  {
    id: "moby-dick",
    title: "Moby Dick",
    by: "Herman Melville, 1851",
    learns: "spelling, then words, then the style of a novel",
  },
  { id: "names", title: "First names", by: "8,422 English names", learns: "how English names sound" },
] as const;

export type CorpusId = (typeof corpora)[number]["id"];

/** Where a corpus lies, relative to the page. */
export function corpusPath(id: CorpusId): string {
  return `corpora/${id}.txt`;
}

/**
 * Loads a corpus when it is wanted; nothing of it is part of the page's scripts.
 *
 * @param base address of the page; a worker gets it from its page
 */
export async function fetchCorpus(id: CorpusId, base: string = document.baseURI): Promise<string> {
  const address = new URL(corpusPath(id), base);
  const response = await fetch(address);
  if (!response.ok)
    throw new Error(
      `The text ${address} could not be loaded (${response.status}); check the connection and try again.`,
    );
  return response.text();
}
