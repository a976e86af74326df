import { effect, signal } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { GenerateOptions, TextId } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, count, milliseconds } from "./format.ts";
import { mountLikely } from "./likely.ts";
import { mountMemory } from "./memory.ts";
import { unitOf } from "./title.ts";

/** Prompts that suit the texts; one of them stands in the field until the visitor writes. */
const PROMPTS: Record<TextId, string> = {
  ...{ "moby-dick": "The whale ", names: "Ma", own: "" },
  ...{ copy: "cafe=", reverse: "cafe=", sort: "cafe=", add: "27+48=", brackets: "([{}=" },
};

const FIELDS = {
  length: "length",
  temperature: "temperature",
  "top-k": "topK",
  "top-p": "topP",
  "min-p": "minP",
  repetition: "repetitionPenalty",
  "talk-seed": "seed",
} as const satisfies Record<string, keyof GenerateOptions>;

/** Prompt, streamed answer and sampling. */
export function mountTalk(state: State, actions: Actions): void {
  const form = byId("talk", HTMLFormElement);
  const prompt = byId("prompt", HTMLTextAreaElement);
  const generate = byId("generate", HTMLButtonElement);
  const stop = byId("generate-stop", HTMLButtonElement);
  const keep = byId("keep-state", HTMLButtonElement);
  const branch = byId("branch", HTMLButtonElement);
  const branchHelp = byId("branch-help");
  const lengthHelp = byId("length-help");
  const answer = byId("answer");
  const rate = byId("talk-rate");
  const first = byId("talk-first");
  const bytesOfState = byId("talk-state");
  const fields = Object.entries(FIELDS).map(([id, name]) => ({ input: byId(id, HTMLInputElement), name }));
  let written = false;

  prompt.addEventListener("input", () => {
    written = true;
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const numbers = () => Object.fromEntries(fields.map(({ input, name }) => [name, input.valueAsNumber]));
  const options = () => ({ prompt: prompt.value, ...numbers() }) as GenerateOptions;
  /** The sampling as it is set now, where all of it is valid. */
  const sampling = signal(options());
  form.addEventListener("input", () => {
    if (fields.every(({ input }) => input.validity.valid && input.value !== "")) sampling.value = options();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!generate.disabled) void actions.generate(options());
  });
  keep.addEventListener("click", () => void actions.keepState());
  branch.addEventListener("click", () => {
    if (form.reportValidity()) void actions.branch(options());
  });
  stop.addEventListener("click", () => void actions.stopGenerating());

  effect(() => {
    const { busy } = state.talk.value;
    generate.disabled = busy || !state.canTalk.value;
    stop.disabled = !busy;
    keep.disabled = generate.disabled || !state.talk.value.held;
    branch.disabled = keep.disabled && (generate.disabled || state.keptState.value === null);
    answer.ariaBusy = String(busy); // read out when complete, not piece by piece
  });
  effect(() => {
    const { value } = state.keptState;
    const from = value ? `of the state that is kept after ${count(value.position)} ${unitOf(state)}` : "of the answer";
    branchHelp.textContent = `Branch writes two continuations ${from}, with this seed and the next.`;
  });
  effect(() => {
    lengthHelp.textContent = unitOf(state) === "characters" ? "Characters to write." : "Tokens to write.";
  });
  effect(() => {
    const { report } = state.talk.value;
    rate.textContent = report ? brief(report.tokensPerSecond) : "–";
    first.textContent = report ? milliseconds(report.firstTokenMs) : "–";
    bytesOfState.textContent = report ? bytes(report.stateBytes) : "–";
  });
  effect(() => {
    const starter = state.starters.value.find(({ id }) => id === state.guest.value?.name);
    const learned = starter?.corpus ?? state.current.value?.settings.value.text;
    const text = learned ?? state.settings.value?.text ?? "moby-dick";
    if (!written) prompt.value = PROMPTS[text];
  });

  const silent = answer.textContent ?? "";
  let asked: string | null = null;
  let shown = "";
  let text = new Text();
  effect(() => {
    const { value } = state.answer;
    if (!value) {
      asked = null;
      answer.replaceChildren(make("span", "empty", state.canTalk.value ? "Generate, and it answers here." : silent));
      return;
    }
    if (value.prompt !== asked || !value.text.startsWith(shown)) {
      text = new Text();
      asked = value.prompt;
      shown = "";
      answer.replaceChildren(make("span", "asked", value.prompt), text);
    }
    const atEnd = answer.scrollTop + answer.clientHeight >= answer.scrollHeight - 24;
    text.appendData(value.text.slice(shown.length));
    shown = value.text;
    if (atEnd) answer.scrollTop = answer.scrollHeight;
  });

  mountLikely(state, () => sampling.value);
  mountMemory(state);
  mountBranches(state);
}

/** Two continuations of one state, side by side. */
function mountBranches({ branches }: State): void {
  const place = byId("branches");
  const sides = [0, 1].map((i) => ({ title: byId(`branch-title-${i}`), text: byId(`branch-${i}`) }));
  effect(() => {
    const { value } = branches;
    place.hidden = value === null;
    sides.forEach(({ title, text }, i) => {
      title.textContent = `Seed ${value?.seeds[i] ?? ""}`;
      text.textContent = value?.texts[i] ?? "";
    });
  });
}
