/**
 * What the page and its worker say to each other. The engine lives in the worker; the page only draws.
 *
 * To add a feature:
 * 1. Say it: calls and events in protocol/NAME.ts, listed below; answer them in worker/features/NAME.ts, listed in worker/features/index.ts.
 * 2. Let the visitor do it: actions/NAME.ts (actions, handlers of its events), listed in actions.ts; what the page must know goes into state.ts.
 * 3. Show it: panels/NAME.html, ui/NAME.ts, styles/NAME.css, listed in index.html, main.ts and styles/page.css.
 */
import type { AttentionCalls, AttentionEvent } from "./protocol/attention.ts";
import type { CatalogueCalls } from "./protocol/catalogue.ts";
import type { CheckCalls, CheckEvent } from "./protocol/check.ts";
import type { CompareCalls } from "./protocol/compare.ts";
import type { DeviceCalls, DeviceEvent } from "./protocol/device.ts";
import type { Failure } from "./protocol/failure.ts";
import type { FileCalls } from "./protocol/files.ts";
import type { LibraryCalls, LibraryEvent } from "./protocol/library.ts";
import type { LookCalls } from "./protocol/look.ts";
import type { OpenCalls, OpenEvent } from "./protocol/open.ts";
import type { SettingsCalls } from "./protocol/settings.ts";
import type { TalkCalls, TalkEvent } from "./protocol/talk.ts";
import type { TextCalls } from "./protocol/texts.ts";
import type { TrainingCalls, TrainingEvent } from "./protocol/training.ts";

export type * from "./protocol/attention.ts";
export type * from "./protocol/catalogue.ts";
export type * from "./protocol/check.ts";
export type * from "./protocol/compare.ts";
export type * from "./protocol/device.ts";
export type * from "./protocol/failure.ts";
export type * from "./protocol/files.ts";
export type * from "./protocol/library.ts";
export type * from "./protocol/look.ts";
export type * from "./protocol/open.ts";
export type * from "./protocol/settings.ts";
export type * from "./protocol/talk.ts";
export type * from "./protocol/texts.ts";
export type * from "./protocol/training.ts";

/** Requests of the page; each is answered once, with a value or a `Failure`. */
export interface Calls
  extends CatalogueCalls,
    DeviceCalls,
    TextCalls,
    SettingsCalls,
    TrainingCalls,
    TalkCalls,
    FileCalls,
    LibraryCalls,
    CompareCalls,
    OpenCalls,
    CheckCalls,
    LookCalls,
    AttentionCalls {}

/** What the worker tells without being asked. */
export type Event = DeviceEvent | TrainingEvent | TalkEvent | LibraryEvent | OpenEvent | CheckEvent | AttentionEvent;

/** What the worker does for each call of a group. */
export type Answers<C> = {
  [K in keyof C]: C[K] extends (...input: infer I) => infer O ? (...input: I) => Promise<O> : never;
};

/** What the page does at each kind of event. */
export type EventHandlers<E extends Event = Event> = {
  [K in E["kind"]]: (event: Extract<Event, { kind: K }>) => void;
};

export type Request = {
  [K in keyof Calls]: { readonly id: number; readonly name: K; readonly input: Parameters<Calls[K]> };
}[keyof Calls];

export type Message =
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refusal"; readonly id: number; readonly failure: Failure }
  | { readonly kind: "event"; readonly event: Event };
