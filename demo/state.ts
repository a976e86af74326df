import { batch, computed, type Signal, signal } from "@preact/signals-core";
import { Curve } from "./curve.ts";
import type {
  AttentionPoint,
  Catalogue,
  CheckResult,
  Contender,
  CostPoint,
  DeviceReport,
  Failure,
  GenerateReport,
  GuestReport,
  History,
  Look,
  Plan,
  Probe,
  RunPhase,
  RunReport,
  Sample,
  Settings,
  StarterChoice,
  StateReport,
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
  readonly id: string;
  /** What the visitor calls it; null for its model and size. */
  readonly name: Signal<string | null>;
  /** The comparison that it is part of, if any. */
  readonly comparison: string | null;
  /** What a token costs it; empty before that was measured. */
  readonly cost: Signal<readonly CostPoint[]>;
  readonly settings: Signal<Settings>;
  readonly parameters: number;
  readonly stateBytes: number;
  /** The state from which Branch goes on, if one is kept. */
  readonly keptState: Signal<StateReport | null>;
  readonly resumable: boolean;
  readonly step: Signal<number>;
  readonly curve: Curve;
  readonly samples: Signal<readonly Sample[]>;
  /** Whether its curve is drawn. */
  readonly shown: Signal<boolean>;
  /** Whether the visitor said so, which then holds. */
  readonly pinned: Signal<boolean>;
  /** Whether the browser keeps a checkpoint of it. */
  readonly kept: Signal<boolean>;
  /** Why the browser keeps none, once it refused. */
  refusal: string | null;
}

export function newRun(report: RunReport, history?: History, kept = false): Run {
  const curve = new Curve();
  curve.add(history?.points ?? []);
  for (const point of history?.heldOut ?? []) curve.addHeldOut(point);
  const { id, name, comparison, cost, settings, parameters, stateBytes, keptState, resumable, step } = report;
  return {
    id,
    name: signal(name ?? null),
    comparison,
    cost: signal(cost),
    settings: signal(settings),
    parameters,
    stateBytes,
    keptState: signal(keptState ?? null),
    resumable,
    step: signal(step),
    curve,
    samples: signal(history?.samples ?? []),
    shown: signal(true),
    pinned: signal(false),
    kept: signal(kept),
    refusal: null,
  };
}

export interface Answer {
  readonly prompt: string;
  readonly text: string;
  /** Tokens that the model has read and written; 0 before it says so. */
  readonly position: number;
}

export interface Talk {
  readonly busy: boolean;
  /** What was told of the last answer. */
  readonly report: GenerateReport | null;
  /** Whether the device still holds the state after it. */
  readonly held: boolean;
}

/** Two continuations of one state. */
export interface Branches {
  readonly seeds: readonly [number, number];
  readonly texts: readonly [string, string];
}

/** Everything that the page shows. Modules in ui/ draw it; actions.ts changes it. */
export function createState() {
  const runs = signal<readonly Run[]>([]);
  const held = signal<string | null>(null);
  const current = computed<Run | null>(() => runs.value.find(({ id }) => id === held.value) ?? null);
  const guest = signal<GuestReport | null>(null);
  const guestState = signal<StateReport | null>(null);
  const device = signal<DeviceState>({ phase: "opening" });
  const plan = signal<Plan | null>(null);
  const phase = signal<Phase>("empty");
  const answer = signal<Answer | null>(null);
  const talk = signal<Talk>({ busy: false, report: null, held: false });
  const branches = signal<Branches | null>(null);
  const look = signal<Look | null>(null);
  const hush = () => {
    answer.value = branches.value = look.value = null;
    talk.value = { ...talk.value, report: null, held: false };
  };
  return {
    catalogue: signal<Catalogue>({ models: [], texts: [] }),
    device,
    /** Null until the device's sizes are known. */
    settings: signal<Settings | null>(null),
    /** The visitor's own text, and the file that it came from, if any. */
    ownText: signal<{ readonly text: string; readonly from: string | null }>({ text: "", from: null }),
    text: signal<TextReport | null>(null),
    plan,
    /** What a step of the planned run takes; null until it was measured. */
    probe: signal<Probe | null>(null),
    phase,
    /** Oldest first. */
    runs,
    /** The run that the worker holds. */
    current,
    /** Takes a run as the one that the worker holds. Of the others those stay drawn that the visitor chose, and the one before. */
    enter(run: Run): void {
      batch(() => {
        const before = current.value;
        for (const other of runs.value) if (!other.pinned.value) other.shown.value = other === before;
        const others = runs.value.filter(({ id }) => id !== run.id);
        runs.value =
          others.length < runs.value.length ? runs.value.map((r) => (r.id === run.id ? run : r)) : [...others, run];
        held.value = run.id;
        hush();
      });
    },
    /** The comparison that is under way: what it trains, and which of them now. */
    comparing: signal<{ readonly contenders: readonly Contender[]; readonly at: number } | null>(null),
    /** The runs of the latest comparison. */
    compared: computed<readonly Run[]>(() => {
      const latest = runs.value.findLast(({ comparison }) => comparison !== null)?.comparison;
      return latest ? runs.value.filter(({ comparison }) => comparison === latest) : [];
    }),
    /** What the next comparison would train. */
    contenders: signal<readonly Contender[]>([]),
    /** The step at which the charts of the current run are read; null for the latest. */
    pointed: signal<number | null>(null),
    /** Counts up whenever a curve grew. */
    growth: signal(0),
    /** What ships with the page. */
    starters: signal<readonly StarterChoice[]>([]),
    /** The model that was opened to be talked to; it speaks instead of the run. */
    guest,
    /** Takes a model as the one that speaks from now on; null for the run. */
    welcome(model: GuestReport | null): void {
      batch(() => {
        guest.value = model;
        guestState.value = null;
        hush();
      });
    },
    /** Bytes of a model that is being opened. */
    opening: signal<{ readonly loaded: number; readonly total: number | null } | null>(null),
    /** What the model was asked last, and what it wrote so far; null for another model than the one that did. */
    answer,
    talk,
    branches,
    /** The state from which Branch goes on; null for that after the last answer. */
    keptState: computed(() => (guest.value ? guestState.value : (current.value?.keptState.value ?? null))),
    keepState(kept: StateReport | null): void {
      const place = guest.value ? guestState : current.value?.keptState;
      if (place) place.value = kept;
    },
    /** What was seen of a model at work; null for another model than that. */
    look,
    status: signal<Status>({ tone: "calm", sentence: "Looking for a GPU." }),
    /** The check of the device: what was found so far, of how many, and the table at the end. */
    check: signal<{
      readonly busy: boolean;
      readonly results: readonly CheckResult[];
      readonly total: number;
      readonly table: string | null;
    }>({ busy: false, results: [], total: 0, table: null }),
    /** What attention was found to cost, the shortest text first. */
    attention: signal<{ readonly busy: boolean; readonly points: readonly AttentionPoint[] }>({
      busy: false,
      points: [],
    }),
    theme: signal(document.documentElement.dataset.theme ?? "light"),
    canTrain: computed(() => device.value.phase === "ready" && plan.value !== null && plan.value.obstacle === null),
    canTalk: computed(
      () => device.value.phase === "ready" && (current.value ?? guest.value) !== null && phase.value !== "starting",
    ),
  };
}

export type State = ReturnType<typeof createState>;
