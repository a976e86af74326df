import { FileError } from "../gpu/errors.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { writeSafetensors } from "../io/write.ts";
import { hostTensors } from "../models/fileState.ts";
import type { LanguageModel } from "../models/language.ts";
import { fingerprint } from "./fingerprint.ts";
import { Session } from "./session.ts";

const KEY = "ostinato.session";

/** What the metadata of a saved session say. */
interface Description {
  /** Of the model that it was saved from. */
  readonly kind: string;
  readonly fingerprint: string;
  readonly position: number;
  readonly sampler: Awaited<ReturnType<Session["save"]>>["sampler"];
}

/**
 * A session as a safetensors file: the model's state (a recurrence's, or the keys and values of attention), the next
 * logits, the random numbers, and a fingerprint of the model. With the model's checkpoint it continues bit for bit on the
 * same device, however often it is loaded. The session goes on as it was.
 */
export async function saveSession(session: Session): Promise<Uint8Array<ArrayBuffer>> {
  const { model, sampler, position } = await session.save();
  const { kind } = session.model.config;
  const description: Description = { kind, fingerprint: await fingerprint(session.model), position, sampler };
  return writeSafetensors(model, { [KEY]: JSON.stringify(description) });
}

/**
 * The session of a file that `saveSession` made, on the same model or its checkpoint loaded again.
 * @throws FileError `session-model` if it was saved from another model, `session` if the file is none or damaged; no memory
 * is kept then
 */
export async function loadSession(
  model: LanguageModel,
  bytes: ArrayBuffer | Uint8Array<ArrayBuffer>,
): Promise<Session> {
  const { metadata, tensors } = parseSafetensors(bytes);
  const { kind, fingerprint: saved, position, sampler } = describe(metadata[KEY]);
  if (saved !== (await fingerprint(model))) {
    const own = model.config.kind;
    throw new FileError(
      "session-model",
      `loadSession: the session was saved from ${kind === own ? `another ${kind}, or one with other weights` : `a model of kind ${kind}, and this is ${own}`}; load the checkpoint that it was saved with`,
    );
  }
  const session = new Session(model);
  try {
    session.restore({ model: hostTensors(tensors), sampler, position });
    return session;
  } catch (error) {
    session.dispose();
    throw error instanceof FileError ? error : damaged(error);
  }
}

function describe(text: string | undefined): Description {
  if (text === undefined)
    throw new FileError("session", "loadSession: the file holds no session; give one that saveSession made");
  try {
    return JSON.parse(text) as Description;
  } catch (error) {
    throw damaged(error);
  }
}

function damaged(error: unknown): FileError {
  const reason = error instanceof Error ? error.message : String(error);
  return new FileError("session", `loadSession: the session cannot be read (${reason}); the file is damaged`);
}
