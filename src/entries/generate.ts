/**
 * Sessions and streamed text. Public names only; nothing inside src imports this file.
 * @module
 */
export { type GenerateOptions, generate } from "../generate/generate.ts";
export { type GenerateTokensOptions, type SavedSession, Session } from "../generate/session.ts";
