/** What the page and its worker say to each other. The engine lives in the worker; the page only draws. */

/** A text to learn: one that ships with the page, or the visitor's own. */
export type TextId = "moby-dick" | "names" | "own";

export type ScheduleName = "constant" | "linear" | "cosine";

/** An architecture that the worker can build. */
export interface ModelChoice {
  readonly id: string;
  readonly name: string;
  /** One line for someone who has never met it. */
  readonly about: string;
  /** What its experts set beside width, layers and context. */
  readonly options: readonly OptionChoice[];
  /** Whether it sees only so many characters back. */
  readonly windowed: boolean;
  /** Factor on the learning rate of a size, which is right for a recurrent layer. */
  readonly rate: number;
}

/** A size that only some models have, such as their heads. */
export interface OptionChoice {
  readonly name: string;
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

/** A text as the visitor chooses it. */
export interface TextChoice {
  readonly id: TextId;
  readonly name: string;
  readonly about: string;
}

/** What a text holds, once it was read. */
export interface TextReport {
  readonly id: TextId;
  readonly characters: number;
  /** Different characters: the size of the vocabulary. */
  readonly vocabulary: number;
}

/** Everything that decides what a run does; saved with its checkpoint. */
export interface Settings {
  readonly model: string;
  readonly text: TextId;
  readonly layers: number;
  /** Channels of a layer: hidden units, or the width of the residual stream. */
  readonly width: number;
  /** Characters back that an attention layer sees; recurrent layers have no such limit. */
  readonly context: number;
  /** Sizes of this model that the visitor set; the others follow from the width. */
  readonly options: Readonly<Record<string, number>>;
  readonly batch: number;
  readonly sequence: number;
  /** Training steps from the start of the run to its end. */
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Largest global gradient norm; 0 switches clipping off. */
  readonly clip: number;
  readonly seed: number;
}

/** The settings that the size slider stands for; everything but model, its options, text and seed. */
export type Size = Omit<Settings, "model" | "options" | "text" | "seed">;

export interface Catalogue {
  readonly models: readonly ModelChoice[];
  readonly texts: readonly TextChoice[];
}

/** Limits that the page itself saw on its adapter; the smaller of these and the worker's own count. */
export interface SeenLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
}

export interface DeviceReport {
  /** In words: "Apple M2", "SwiftShader". */
  readonly name: string;
  /** An emulation on the CPU: right, but slow. */
  readonly software: boolean;
  /** One size for each stop of the slider, smallest first, chosen for this device. */
  readonly sizes: readonly Size[];
}

/** What a run would need, before it starts. */
export interface Plan {
  readonly parameters: number;
  /** Bytes on the GPU while training: weights, gradients, optimiser state, activations. */
  readonly memoryBytes: number;
  /** The value of each of the model's options, set or not. */
  readonly options: Readonly<Record<string, number>>;
  /** Why this cannot run here and what to change; null if it can. */
  readonly obstacle: string | null;
}

/** One training step as the charts show it. */
export interface Point {
  readonly step: number;
  /** Characters read since the start of the run. */
  readonly tokens: number;
  /** Seconds spent training since the start of the run; pauses do not count. */
  readonly seconds: number;
  /** Mean loss in nats a character. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  readonly memoryBytes: number;
}

export interface HeldOutPoint extends Pick<Point, "step" | "tokens" | "seconds" | "loss"> {}

export interface Sample {
  readonly step: number;
  readonly loss: number;
  readonly text: string;
}

/** The run that the worker holds: model, optimiser and place in the text. */
export interface RunReport {
  readonly settings: Settings;
  readonly step: number;
  readonly parameters: number;
  /** Bytes that the model remembers of a text, whatever its length. */
  readonly stateBytes: number;
  /** Whether the text is at hand, so that the run can go on. */
  readonly resumable: boolean;
}

/** A loaded file: the run with the story so far. */
export interface LoadReport extends RunReport {
  readonly history: History;
}

/** A run's curves, thin enough to travel in a checkpoint. */
export interface History {
  readonly points: readonly Point[];
  readonly heldOut: readonly HeldOutPoint[];
  readonly samples: readonly Sample[];
}

export interface GenerateOptions {
  readonly prompt: string;
  /** Characters to write. */
  readonly length: number;
  readonly temperature: number;
  /** 0 switches top-k off. */
  readonly topK: number;
  /** 1 switches top-p off. */
  readonly topP: number;
  /** 0 switches min-p off. */
  readonly minP: number;
  /** 1 switches the penalty off. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

export interface GenerateReport {
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly firstTokenMs: number;
  readonly stateBytes: number;
  readonly stopped: boolean;
}

/** Requests of the page; each is answered once, with a value or a `Failure`. */
export interface Calls {
  /** @param base address of the page, from which the texts are fetched */
  catalogue(base: string): Catalogue;
  open(limits: SeenLimits): DeviceReport;
  /** Reads a text that ships with the page, or takes the visitor's own. */
  readText(id: TextId, own?: string): TextReport;
  plan(settings: Settings): Plan;
  /** Starts a new run; resolves when it is ready to take its first step. */
  train(settings: Settings): RunReport;
  /** Resolves once no step is running. */
  pause(): null;
  /** Goes on after a pause, a stop or a load. A run that reached its end gets as many steps again. */
  resume(): RunReport;
  stop(): null;
  generate(options: GenerateOptions): GenerateReport;
  stopGenerating(): null;
  save(): ArrayBuffer;
  load(file: ArrayBuffer): LoadReport;
  /** Keeps a checkpoint in memory now: the page is about to be hidden. */
  keep(): null;
}

/**
 * What went wrong, in a sentence for the visitor. After `unavailable` and `lost` there is no device; `refused` is
 * a request that cannot be met, and everything else stays as it was; `internal` is a fault of the page.
 */
export interface Failure {
  readonly kind: "unavailable" | "lost" | "refused" | "internal";
  /** For `unavailable`: what is missing. */
  readonly reason?: string;
  readonly sentence: string;
}

export type RunPhase = "training" | "paused" | "stopped" | "finished";

/** What the worker tells without being asked. */
export type Event =
  | { readonly kind: "progress"; readonly points: readonly Point[] }
  | { readonly kind: "heldOut"; readonly point: HeldOutPoint }
  | { readonly kind: "sample"; readonly sample: Sample }
  | { readonly kind: "piece"; readonly text: string }
  | { readonly kind: "phase"; readonly phase: RunPhase }
  /** The device was lost and another opened; `step` is where the run stands now, null if none was kept. */
  | { readonly kind: "restored"; readonly sentence: string; readonly step: number | null }
  | { readonly kind: "failure"; readonly failure: Failure };

export type Request = {
  [K in keyof Calls]: { readonly id: number; readonly name: K; readonly input: Parameters<Calls[K]> };
}[keyof Calls];

export type Message =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refusal"; readonly id: number; readonly failure: Failure }
  | { readonly kind: "event"; readonly event: Event };
