import type { Device } from "../../src/gpu/device.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Event, SeenLimits } from "../protocol.ts";
import type { Guest } from "./guest.ts";
import { Opening } from "./opening.ts";
import { recover } from "./recovery.ts";
import type { Run } from "./run.ts";
import { Store } from "./store.ts";
import { Texts } from "./texts.ts";
import { Training } from "./training.ts";
import { Turns } from "./turns.ts";
import type { Voice } from "./voice.ts";

/** What the worker's features share: the device, the texts, the one run, and whose turn it is. */
export class Lab {
  readonly emit: (event: Event) => void;
  readonly turns = new Turns();
  readonly training: Training = new Training(this);
  readonly opening: Opening;
  readonly store = new Store();
  texts = new Texts("");
  limits: SeenLimits | null = null;
  device: Device | null = null;
  /** The run that is trained, talked to and saved. */
  run: Run | null = null;
  /** A model that was opened; it speaks instead of the run. */
  guest: Guest | null = null;

  constructor(emit: (event: Event) => void) {
    this.emit = emit;
    this.opening = new Opening(emit);
  }

  /** Opens a device and watches over it. */
  async connect(): Promise<Device> {
    const device = await openDevice();
    this.device = device;
    void device.lost.then((error) => {
      if (error.reason !== "destroyed" && this.device === device) void recover(this);
    });
    return device;
  }

  /** Keeps the present run as it is now, and gives it up for another. */
  async replaceRun(next: () => Run): Promise<Run> {
    await this.training.keepLatest();
    this.closeGuest();
    this.run?.dispose();
    this.run = null;
    this.training.kept = null;
    this.run = next();
    return this.run;
  }

  /** Gives up an opened model. */
  closeGuest(): void {
    if (!this.guest) return;
    this.guest.voice.dispose();
    this.guest = null;
    this.emit({ kind: "modelClosed" });
  }

  needDevice(): Device {
    if (!this.device) throw new ValueError("device: none is open yet; wait until the page names one");
    return this.device;
  }

  needLimits(): SeenLimits {
    if (!this.limits) throw new ValueError("device: none is open yet; wait until the page names one");
    return this.limits;
  }

  /** Whom the visitor talks to. */
  needVoice(): Voice {
    return this.guest?.voice ?? this.needRun().voice;
  }

  needRun(): Run {
    if (!this.run) throw new ValueError("run: there is no model yet; train one or load a checkpoint");
    return this.run;
  }
}
