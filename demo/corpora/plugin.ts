import type { Plugin } from "vite";
import { corpusTexts } from "./build.ts";
import { type CorpusId, corpora, corpusPath } from "./index.ts";

/** Serves each corpus at `corpora/ID.txt` in development and writes it there in a build. */
export function corpusFiles(): Plugin {
  return {
    name: "corpora",
    configureServer(server) {
      const ids = new Map<string, CorpusId>(corpora.map(({ id }) => [`/${corpusPath(id)}`, id]));
      server.middlewares.use((request, response, next) => {
        const id = ids.get(new URL(request.url ?? "", "http://localhost").pathname);
        if (!id) return next();
        response.setHeader("Content-Type", "text/plain; charset=utf-8");
        response.end(corpusTexts[id]());
      });
    },
    generateBundle() {
      for (const { id } of corpora)
        this.emitFile({ type: "asset", fileName: corpusPath(id), source: corpusTexts[id]() });
    },
  };
}
