import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { TextChoice, TextId } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make, onChoice } from "./dom.ts";
import { count } from "./format.ts";

/** Typing rests this long before a pasted text is read. */
const PAUSE_MS = 400;

/** The choice of the text, and the field for the visitor's own. */
export function mountTexts(state: State, actions: Actions): void {
  const lists = { text: byId("texts"), task: byId("tasks") };
  const own = byId("own");
  const field = byId("own-text", HTMLTextAreaElement);
  const file = byId("own-file", HTMLInputElement);
  const report = byId("text-report");
  let timer: ReturnType<typeof setTimeout> | undefined;

  const chosen = () => state.settings.value?.text;
  const readOwn = () => actions.readText("own", state.ownText.peek().text);

  effect(() => {
    const selected = state.settings.peek()?.text;
    const { texts } = state.catalogue.value;
    for (const [kind, list] of Object.entries(lists)) {
      const chosen = texts.filter(({ task }) => task === (kind === "task"));
      list.replaceChildren(...chosen.map((text) => row(text, text.id === selected)));
    }
    onChoice("text", (value) => {
      actions.change({ text: value as TextId });
      if (value === "own") void readOwn();
      else void actions.readText(value as TextId);
    });
  });

  effect(() => {
    own.hidden = chosen() !== "own";
    for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="text"]')) {
      radio.checked = radio.value === chosen();
      radio.disabled = state.settings.value === null;
    }
  });

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.ownText.value = { text: field.value, from: null };
      void readOwn();
    }, PAUSE_MS);
  });
  byId("own-file-button").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const chosenFile = file.files?.[0];
    if (chosenFile) void actions.offerText(chosenFile);
    file.value = "";
  });
  effect(() => {
    // A whole book in a text field would stall the page.
    const { from } = state.ownText.value;
    if (from !== null) field.value = "";
    field.placeholder = from === null ? "Paste a few pages here" : `${from} is chosen. Paste here to replace it.`;
  });

  effect(() => {
    const { value } = state.text;
    const task = state.catalogue.value.texts.find(({ id, task }) => task && id === chosen());
    report.textContent = value
      ? `${task ? `${task.about} ` : ""}${count(value.characters)} characters, ${count(value.vocabulary)} different`
      : chosen() === "own"
        ? "Paste at least a page."
        : "\u00a0";
  });
}

function row({ id, name, about, task }: TextChoice, checked: boolean): HTMLLabelElement {
  const label = make("label");
  const radio = make("input");
  Object.assign(radio, { type: "radio", name: "text", value: id, checked });
  label.append(radio, make("span", "", name));
  if (!task) label.append(make("span", "help", about));
  return label;
}
