import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { CheckResult } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { milliseconds } from "./format.ts";

/** The check of the device's kernels: one button, a verdict, and a table that can be copied. */
export function mountCheck(state: State, actions: Actions): void {
  const start = byId("check-start", HTMLButtonElement);
  const copy = byId("check-copy", HTMLButtonElement);
  const verdict = byId("check-verdict");
  const details = byId("check-details");
  const rows = byId("checks");

  start.addEventListener("click", () => void (state.check.peek().busy ? actions.stopCheck() : actions.checkGpu()));
  copy.addEventListener("click", () => void actions.copyCheck());

  effect(() => {
    const { busy, results, total, table } = state.check.value;
    start.disabled = state.device.value.phase !== "ready";
    start.textContent = busy ? "Stop" : "Check";
    copy.disabled = table === null;
    details.hidden = results.length === 0;
    verdict.textContent = sentenceOf(results, busy, total);
    const wrong = results.some(({ passed }) => !passed);
    verdict.dataset.tone = wrong ? "trouble" : "calm";
  });

  let drawn: readonly CheckResult[] = [];
  effect(() => {
    const { results } = state.check.value;
    if (results.length < drawn.length || results[0] !== drawn[0]) rows.replaceChildren(...results.map(row));
    else rows.append(...results.slice(drawn.length).map(row));
    drawn = results;
  });
}

function sentenceOf(results: readonly CheckResult[], busy: boolean, total: number): string {
  if (busy) return total ? `${results.length} of ${total} checked` : "The kernels compile.";
  if (results.length === 0) return "\u00a0";
  const wrong = results.filter(({ passed }) => !passed).map(({ name }) => name);
  if (wrong.length > 0)
    return `Wrong here: ${wrong.join(", ")}. Do not trust what this GPU learns; update its driver, or use another browser.`;
  return results.length === total
    ? `All ${total} checks are right: this GPU computes what the equations say.`
    : `Stopped after ${results.length} of ${total} checks, all of them right.`;
}

const share = (error: number | null): string =>
  error === null ? "" : Number.isFinite(error) ? error.toPrecision(2) : "not finite";

function row({ name, forward, backward, passed, fault, ms }: CheckResult): HTMLTableRowElement {
  const line = make("tr");
  line.append(
    make("td", "", name),
    make("td", "number", share(forward)),
    make("td", "number", share(backward)),
    make("td", passed ? "" : "wrong", passed ? "right" : (fault ?? "wrong")),
    make("td", "number", milliseconds(ms)),
  );
  return line;
}
