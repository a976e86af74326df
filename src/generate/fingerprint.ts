import type { LanguageModel } from "../models/language.ts";
import { show } from "../tensor/shape.ts";

/**
 * A digest of a model's configuration and weights (SHA-256, as hex): equal for models that write alike, different if any
 * bit differs. Reads the weights back one tensor at a time.
 */
export async function fingerprint(model: LanguageModel): Promise<string> {
  const config = Object.entries(model.config).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [JSON.stringify(config)];
  for (const [name, parameter] of model.namedParameters())
    lines.push(`${name} ${show(parameter.shape)} ${await digest(await parameter.data())}`);
  return digest(new TextEncoder().encode(lines.join("\n")));
}

async function digest(data: BufferSource): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
