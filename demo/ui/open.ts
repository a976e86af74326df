import { effect } from "@preact/signals-core";
import { nameOf } from "../actions/open.ts";
import type { Actions } from "../actions.ts";
import type { StarterChoice } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { bytes, count, decimal, duration } from "./format.ts";
import { modelToken } from "./theme.ts";
import { runTitle } from "./title.ts";

/** Ways to a trained model, how much of it has come, and who speaks. */
export function mountOpen(state: State, actions: Actions): void {
  const list = byId("starters");
  const address = byId("open-address", HTMLInputElement);
  const fetching = byId("open-fetch", HTMLButtonElement);
  const choose = byId("open-choose", HTMLButtonElement);
  const files = byId("open-files", HTMLInputElement);
  const bar = byId("opening", HTMLProgressElement);
  const line = byId("opening-text");
  const cancel = byId("opening-stop", HTMLButtonElement);
  const ready = () => state.device.value.phase === "ready" && state.opening.value === null;

  byId("open-address-form", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    if (!fetching.disabled) void actions.openModel({ kind: "address", address: address.value.trim() });
  });
  choose.addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    if (files.files?.length) void actions.openModel({ kind: "files", files: [...files.files] });
    files.value = "";
  });
  cancel.addEventListener("click", () => void actions.stopOpening());

  effect(() => {
    byId("open-starters").hidden = state.starters.value.length === 0;
    list.replaceChildren(
      ...state.starters.value.map((starter) =>
        row(state, starter, () => void actions.openModel({ kind: "starter", id: starter.id })),
      ),
    );
  });
  effect(() => {
    void state.starters.value;
    fetching.disabled = choose.disabled = !ready();
    for (const button of list.querySelectorAll("button")) button.disabled = !ready();
  });
  effect(() => {
    const { value } = state.opening;
    cancel.disabled = value === null;
    bar.value = value?.total ? value.loaded / value.total : 0;
    line.textContent = value
      ? `${bytes(value.loaded)}${value.total ? ` of ${bytes(value.total)}` : ""} read.`
      : state.guest.value
        ? `${nameOf(state, state.guest.value.name)} is open.`
        : "Nothing is being opened.";
  });
  mountSpeaker(state, actions);
}

/** Whom the visitor talks to, and the quickest way to someone. */
function mountSpeaker(state: State, actions: Actions): void {
  const name = byId("speaker");
  const button = byId("talk-now", HTMLButtonElement);
  button.addEventListener("click", async () => {
    if (state.guest.value) return void actions.closeModel();
    const first = state.starters.value[0];
    if (first && (await actions.openModel({ kind: "starter", id: first.id })))
      byId("talk", HTMLFormElement).requestSubmit();
  });
  effect(() => {
    const guest = state.guest.value;
    const run = state.current.value;
    name.textContent = guest
      ? nameOf(state, guest.name)
      : run
        ? `${runTitle(state, run)}, step ${count(run.step.value)}`
        : "No model yet";
    button.textContent = guest ? "Close" : "Talk to a trained model";
    button.hidden = !guest && state.starters.value.length === 0;
    button.disabled = state.device.value.phase !== "ready" || state.opening.value !== null;
  });
}

function row(state: State, starter: StarterChoice, open: () => void): HTMLLIElement {
  const item = make("li");
  const button = make("button", "", nameOf(state, starter.id));
  button.type = "button";
  button.disabled = true;
  button.addEventListener("click", open);
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(starter.model)})`);
  button.prepend(swatch);
  const { parameters, steps, each, seconds, device, loss } = starter;
  const how = `${count(steps)} steps of ${count(each)} characters in ${duration(seconds)} on ${device}`;
  const about = `${count(parameters)} parameters, ${how}; held-out loss ${decimal(loss)}.`;
  item.append(button, make("p", "help", about));
  return item;
}
