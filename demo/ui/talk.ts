import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { GenerateOptions, TextId } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, milliseconds } from "./format.ts";

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
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (generate.disabled) return;
    const numbers = fields.map(({ input, name }) => [name, input.valueAsNumber]);
    void actions.generate({ prompt: prompt.value, ...Object.fromEntries(numbers) } as GenerateOptions);
  });
  stop.addEventListener("click", () => void actions.stopGenerating());

  effect(() => {
    const { busy } = state.talk.value;
    generate.disabled = busy || !state.canTalk.value;
    stop.disabled = !busy;
    answer.ariaBusy = String(busy); // read out when complete, not piece by piece
  });
  effect(() => {
    const { report } = state.talk.value;
    rate.textContent = report ? brief(report.tokensPerSecond) : "–";
    first.textContent = report ? milliseconds(report.firstTokenMs) : "–";
    bytesOfState.textContent = report ? bytes(report.stateBytes) : "–";
  });
  effect(() => {
    const text = state.current.value?.settings.value.text ?? state.settings.value?.text ?? "moby-dick";
    if (!written) prompt.value = PROMPTS[text];
  });

  let asked: string | null = null;
  let shown = "";
  let text = new Text();
  effect(() => {
    const { value } = state.answer;
    if (!value) return;
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
}
