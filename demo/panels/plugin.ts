import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const SLOT = /^( *)<panel src="([\w-]+)" \/>$/gm;
const here = import.meta.dirname;

/** Puts `panels/NAME.html` in the place of `<panel src="NAME" />`, so that each part of the page has a file of its own. */
export function panels(): Plugin {
  return {
    name: "panels",
    transformIndexHtml: {
      order: "pre",
      handler: (html) =>
        html.replace(SLOT, (_, indent: string, name: string) =>
          readFileSync(join(here, `${name}.html`), "utf8").replace(/^(?=.)/gm, indent),
        ),
    },
    configureServer({ watcher, ws }) {
      watcher.on("change", (path) => {
        if (path.startsWith(here)) ws.send({ type: "full-reload" });
      });
    },
  };
}
