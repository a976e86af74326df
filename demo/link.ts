import type { Catalogue, ScheduleName, Settings } from "./protocol.ts";

/** The settings of a run as the part of an address after `#`, and back. */

type Plain = Omit<Settings, "model" | "text" | "options">;

const whole = (value: string): number | null => (/^\d{1,10}$/.test(value) ? Number(value) : null);
const real = (value: string): number | null => {
  const number = Number(value);
  return value !== "" && Number.isFinite(number) && number >= 0 ? number : null;
};
const size = (value: string): number | null => whole(value) || null;
const oneOf =
  <T extends string>(...names: T[]) =>
  (value: string): T | null =>
    names.find((name) => name === value) ?? null;

/** How each setting is read; null if the address says something else. */
const READ: { [K in keyof Plain]: (value: string) => Plain[K] | null } = {
  layers: size,
  width: size,
  context: size,
  batch: size,
  sequence: size,
  steps: size,
  learningRate: real,
  schedule: oneOf<ScheduleName>("constant", "linear", "cosine"),
  clip: real,
  seed: whole,
};

/** Prefix of the model's own sizes, such as `option.heads`. */
const OPTION = "option.";

/** For instance `#model=lstm&text=names&width=64…`. */
export function settingsToHash(settings: Settings): string {
  const { options, ...plain } = settings;
  const entries = [
    ...Object.entries(plain),
    ...Object.entries(options).map(([name, value]) => [OPTION + name, value] as const),
  ].map(([name, value]) => [name, String(value)]);
  return `#${new URLSearchParams(entries)}`;
}

/**
 * What an address says of the settings, each value checked by itself. What it does not say, or says wrongly, is left out;
 * so are models and texts that the page does not have, and the visitor's own text, which no address holds.
 */
export function settingsFromHash(hash: string, { models, texts }: Catalogue): Partial<Settings> {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const found: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(READ)) {
    const value = read(said.get(name) ?? "");
    if (value !== null) found[name] = value;
  }
  const text = texts.find(({ id }) => id === said.get("text") && id !== "own");
  if (text) found.text = text.id;
  const model = models.find(({ id }) => id === said.get("model"));
  if (!model) return found;
  const options = model.options.flatMap(({ name }) => {
    const value = real(said.get(OPTION + name) ?? "");
    return value === null ? [] : [[name, value]];
  });
  return { ...found, model: model.id, options: Object.fromEntries(options) };
}
