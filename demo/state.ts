import { computed, type Signal, signal } from "@preact/signals-core";
import { Curve } from "./curve.ts";
import type {
  Catalogue,
  DeviceReport,
  Failure,
  GenerateReport,
  History,
  Plan,
  RunPhase,
  RunReport,
  Sample,
  Settings,
  TextReport,
} from "./protocol.ts";

export type DeviceState =
  | { readonly phase: "opening" }
  | { readonly phase: "ready"; readonly report: DeviceReport }
  | { readonly phase: "missing"; readonly failure: Failure };

/** Where the worker's run stands; `empty` before the first, `starting` while it is built. */
export type Phase = "empty" | "starting" | RunPhase;

export interface Status {
  readonly tone: "calm" | "trouble";
  readonly sentence: string;
}

/** A run as the page knows it: its story, not its weights. */
export interface Run {
  readonly id: number;
  readonly settings: Signal<Settings>;
  readonly parameters: number;
  readonly stateBytes: number;
  readonly resumable: boolean;
  readonly step: Signal<number>;
  readonly curve: Curve;
  readonly samples: Signal<readonly Sample[]>;
  /** Whether its curve is drawn. */
  readonly shown: Signal<boolean>;
}

let ids = 0;

export function newRun(report: RunReport, history?: History): Run {
  const curve = new Curve();
  curve.add(history?.points ?? []);
  for (const point of history?.heldOut ?? []) curve.addHeldOut(point);
  const { settings, parameters, stateBytes, resumable, step } = report;
  return {
    id: ids++,
    settings: signal(settings),
    parameters,
    stateBytes,
    resumable,
    step: signal(step),
    curve,
    samples: signal(history?.samples ?? []),
    shown: signal(true),
  };
}

/** Everything that the page shows. Modules in ui/ draw it; actions.ts changes it. */
export function createState() {
  const runs = signal<readonly Run[]>([]);
  const device = signal<DeviceState>({ phase: "opening" });
  const plan = signal<Plan | null>(null);
  const phase = signal<Phase>("empty");
  return {
    catalogue: signal<Catalogue>({ models: [], texts: [] }),
    device,
    /** Null until the device's sizes are known. */
    settings: signal<Settings | null>(null),
    /** The visitor's own text, and the file that it came from, if any. */
    ownText: signal<{ readonly text: string; readonly from: string | null }>({ text: "", from: null }),
    text: signal<TextReport | null>(null),
    plan,
    phase,
    /** Oldest first; the last is the one that the worker holds. */
    runs,
    current: computed<Run | null>(() => runs.value.at(-1) ?? null),
    /** Takes a run as the one that the worker holds; of the others only the latest stays drawn. */
    enter(run: Run): void {
      for (const older of runs.value) older.shown.value = older.shown.value && older === runs.value.at(-1);
      runs.value = [...runs.value, run];
    },
    /** Counts up whenever a curve grew. */
    growth: signal(0),
    /** What the model was asked last, and what it wrote so far. */
    answer: signal<{ readonly prompt: string; readonly text: string } | null>(null),
    talk: signal<{ readonly busy: boolean; readonly report: GenerateReport | null }>({ busy: false, report: null }),
    status: signal<Status>({ tone: "calm", sentence: "Looking for a GPU." }),
    theme: signal(document.documentElement.dataset.theme ?? "light"),
    canTrain: computed(() => device.value.phase === "ready" && plan.value !== null && plan.value.obstacle === null),
    canTalk: computed(() => device.value.phase === "ready" && runs.value.length > 0 && phase.value !== "starting"),
  };
}

export type State = ReturnType<typeof createState>;
