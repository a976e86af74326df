import { type AttentionActions, attentionActions, attentionEvents } from "./actions/attention.ts";
import { type CheckActions, checkActions, checkEvents } from "./actions/check.ts";
import { type CompareActions, compareActions } from "./actions/compare.ts";
import { createContext } from "./actions/context.ts";
import { type DeviceActions, deviceActions, deviceEvents } from "./actions/device.ts";
import { type FileActions, fileActions } from "./actions/files.ts";
import { type LibraryActions, libraryActions, libraryEvents } from "./actions/library.ts";
import { type LinkActions, linkActions } from "./actions/link.ts";
import { type LookActions, lookActions } from "./actions/look.ts";
import { type OpenActions, openActions, openEvents } from "./actions/open.ts";
import { type SettingsActions, settingsActions } from "./actions/settings.ts";
import { type TalkActions, talkActions, talkEvents } from "./actions/talk.ts";
import { type TextActions, textActions } from "./actions/texts.ts";
import { type TrainingActions, trainingActions, trainingEvents } from "./actions/training.ts";
import { startWorker } from "./client.ts";
import type { Event, EventHandlers } from "./protocol.ts";
import type { State } from "./state.ts";

/** What a visitor can do. Every failure ends as a sentence in `state.status`; nothing here rejects. */
export interface Actions
  extends DeviceActions,
    TextActions,
    SettingsActions,
    TrainingActions,
    TalkActions,
    FileActions,
    LibraryActions,
    LinkActions,
    CompareActions,
    OpenActions,
    CheckActions,
    LookActions,
    AttentionActions {}

export function createActions(state: State): Actions {
  const client = startWorker((event) => (events[event.kind] as (event: Event) => void)(event));
  const context = createContext(state, client);
  const events: EventHandlers = {
    ...deviceEvents(context),
    ...trainingEvents(context),
    ...talkEvents(context),
    ...libraryEvents(context),
    ...openEvents(context),
    ...checkEvents(context),
    ...attentionEvents(context),
  };
  const settings = settingsActions(context);
  const texts = textActions(context, settings);
  const opening = openActions(context);
  const library = libraryActions(context, texts);
  const training = trainingActions(context);
  return {
    ...settings,
    ...texts,
    ...deviceActions(context, settings, texts, library),
    ...training,
    ...talkActions(context),
    ...fileActions(context, opening),
    ...library,
    ...opening,
    ...linkActions(context, texts),
    ...checkActions(context),
    ...lookActions(context),
    ...attentionActions(context),
    ...compareActions(context, training),
  };
}
