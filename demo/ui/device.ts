import { effect } from "@preact/signals-core";
import type { Missing } from "../preflight.ts";
import type { State } from "../state.ts";
import { byId } from "./dom.ts";

const CHIPS: Record<Missing, string> = {
  "insecure-context": "Needs https",
  "no-webgpu": "No WebGPU",
  "no-adapter": "No GPU found",
  "no-device": "GPU refused",
  "no-worker-webgpu": "No WebGPU in workers",
  "no-answer": "GPU does not answer",
};

/** The chip that names the device, and the line that says what happens. */
export function mountDevice({ device, status }: State): void {
  const chip = byId("device");
  const line = byId("status");
  effect(() => {
    const { value } = device;
    chip.dataset.state = value.phase;
    if (value.phase === "opening") chip.textContent = "Looking for a GPU";
    else if (value.phase === "ready")
      chip.textContent = value.report.software ? `${value.report.name}, slow` : `${value.report.name}, WebGPU`;
    else chip.textContent = CHIPS[value.failure.reason as Missing] ?? "No GPU at hand";
    chip.title = value.phase === "ready" && value.report.software ? "A software renderer stands in for a GPU." : "";
  });
  effect(() => {
    line.dataset.tone = status.value.tone;
    line.textContent = status.value.sentence;
  });
}
