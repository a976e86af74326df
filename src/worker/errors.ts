import {
  DeviceLostError,
  DisposedError,
  FileError,
  GpuError,
  GpuUnavailableError,
  LimitError,
  NonFiniteError,
  OstinatoError,
  ShapeError,
  type UnavailableReason,
  ValueError,
} from "../gpu/errors.ts";

/** The engine's errors that hold nothing but their sentence. */
const PLAIN: Readonly<Record<string, new (message: string) => Error>> = {
  OstinatoError,
  ShapeError,
  ValueError,
  DisposedError,
  LimitError,
  GpuError,
  NonFiniteError,
};

/** An error as a message between threads; structured clones of errors lose class and fields. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  /** `reason` or `code` of the classes that have one. */
  readonly detail?: string;
}

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { reason, code } = error as { reason?: unknown; code?: unknown };
  const detail = reason ?? code;
  return { name: error.name, message: error.message, ...(typeof detail === "string" && { detail }) };
}

/** The same error on this side: of the engine's own class where it has one of that name. */
export function unpackError({ name, message, detail = "" }: PackedError): Error {
  if (name === "FileError") return new FileError(detail, message);
  if (name === "GpuUnavailableError") return new GpuUnavailableError(detail as UnavailableReason, message);
  if (name === "DeviceLostError") return new DeviceLostError(detail === "destroyed" ? "destroyed" : "unknown", message);
  const known = Object.hasOwn(PLAIN, name) ? PLAIN[name] : undefined;
  return known ? new known(message) : Object.assign(new Error(message), { name });
}
