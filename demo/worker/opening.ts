import type { Device } from "../../src/gpu/device.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import type { Progress } from "../../src/io/reader.ts";
import type { Event, ModelSource } from "../protocol.ts";
import { type Guest, openGuest } from "./guest.ts";

/** Milliseconds between two words on how much of a file has come. */
const TELL_MS = 100;

/** Reads models, one at a time; tells at even times how much has come, and can be stopped. */
export class Opening {
  private readonly emit: (event: Event) => void;
  private current = new AbortController();

  constructor(emit: (event: Event) => void) {
    this.emit = emit;
  }

  /** @throws as `openGuest`, and ValueError once it is stopped */
  async open(device: Device, source: ModelSource): Promise<Guest> {
    this.stop();
    this.current = new AbortController();
    const { signal } = this.current;
    let latest: Progress | null = null;
    const onProgress = (progress: Progress) => {
      latest = progress;
    };
    const timer = setInterval(() => {
      if (latest) this.emit({ kind: "opening", ...latest });
      latest = null;
    }, TELL_MS);
    try {
      return await openGuest(device, source, { signal, onProgress });
    } finally {
      clearInterval(timer);
    }
  }

  stop(): void {
    this.current.abort(new ValueError("open: opening was stopped, and nothing has changed"));
  }
}
