import { DeviceLostError, GpuUnavailableError, OstinatoError } from "../../src/gpu/errors.ts";
import type { Failure } from "../protocol.ts";

/** The failure that a visitor is told. The engine's own sentences already name the values and the way out. */
export function failureOf(error: unknown): Failure {
  if (error instanceof GpuUnavailableError)
    return { kind: "unavailable", reason: error.reason, sentence: plain(error.message) };
  if (error instanceof DeviceLostError)
    return {
      kind: "refused",
      sentence: "The GPU was lost at this moment and is being opened again. Repeat this in a few seconds.",
    };
  if (error instanceof OstinatoError) return { kind: "refused", sentence: plain(error.message) };
  const message = error instanceof Error ? error.message : String(error);
  return { kind: "internal", sentence: `Something unexpected failed: ${message}. What was learned so far is kept.` };
}

/**
 * An engine message as a sentence for people who never call its functions: `encode: the x is y` becomes `The x is y.`
 * Names of files and addresses stay as they are.
 */
export function plain(message: string): string {
  const text = message.replace(/^[\w.]+: /, "").replace(/^[a-z]+(?=[ ,;'])/, (word) => capital(word));
  return `${text}${/[.?]$/.test(text) ? "" : "."}`;
}

const capital = (word: string): string => `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
