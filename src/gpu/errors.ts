/** Base of every error that the engine throws on purpose. */
export class OstinatoError extends Error {
  override readonly name: string = "OstinatoError";
}

/** Shapes, dtypes, devices or values that do not fit an operation. */
export class ShapeError extends OstinatoError {
  override readonly name = "ShapeError";
}

/** An option or argument outside its range. */
export class ValueError extends OstinatoError {
  override readonly name = "ValueError";
}

/** A tensor, plan or device that was disposed, or a graph that an earlier backward freed. */
export class DisposedError extends OstinatoError {
  override readonly name = "DisposedError";
}

/** Why WebGPU cannot be used here. */
export type UnavailableReason = "insecure-context" | "no-webgpu" | "no-adapter" | "no-device";

/** WebGPU is missing or refused; `reason` tells pages what to advise. */
export class GpuUnavailableError extends OstinatoError {
  override readonly name = "GpuUnavailableError";
  readonly reason: UnavailableReason;
  constructor(reason: UnavailableReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The device is gone: `destroyed` on purpose, or `unknown` (crash, driver reset, out of memory). */
export class DeviceLostError extends OstinatoError {
  override readonly name = "DeviceLostError";
  readonly reason: "destroyed" | "unknown";
  constructor(reason: "destroyed" | "unknown", message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The device does not offer what an operation needs (a limit or a feature). */
export class LimitError extends OstinatoError {
  override readonly name = "LimitError";
}

/** WebGPU reported a validation, out-of-memory or internal error, or a kernel did not compile. */
export class GpuError extends OstinatoError {
  override readonly name = "GpuError";
}

/** A number that must be finite is NaN or infinite. */
export class NonFiniteError extends OstinatoError {
  override readonly name = "NonFiniteError";
}

/** A file is malformed, truncated, foreign or does not match the model; `code` names the rule it breaks. */
export class FileError extends OstinatoError {
  override readonly name = "FileError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
