import type { StarterChoice } from "../protocol.ts";
import { recipes, type Starter } from "./recipes.ts";

const facts = import.meta.glob<Starter>("./*.json", { eager: true, import: "default" });
const addresses = import.meta.glob<string>("./*.safetensors", { eager: true, import: "default", query: "?url" });

/** The checkpoints that ship with the page, and how they came to be. */
export const starters: readonly StarterChoice[] = recipes.flatMap(({ id, model, corpus, settings }) => {
  const found = facts[`./${id}.json`];
  return found
    ? [{ id, model, corpus, steps: settings.steps, each: settings.batchSize * settings.seqLength, ...found }]
    : [];
});

/** Where such a checkpoint lies; `base` is any address of the page's scripts. */
export function starterAddress(id: string, base: string): URL | undefined {
  const path = addresses[`./${id}.safetensors`];
  return path === undefined ? undefined : new URL(path, base);
}
