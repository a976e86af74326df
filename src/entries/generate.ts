/**
 * Sessions and streamed text.
 * @module ostinato/generate
 */
// Public names only; nothing inside src imports this file.
export { loadSession, saveSession } from "../generate/file.ts";
export { fingerprint } from "../generate/fingerprint.ts";
export { type GenerateOptions, generate } from "../generate/generate.ts";
export { type StateCourse, stateCourse, type TokenChoice, tokenChoices } from "../generate/inspect.ts";
export { type GenerateTokensOptions, type SavedSession, Session } from "../generate/session.ts";
