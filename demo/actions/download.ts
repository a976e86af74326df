import type { Run } from "../state.ts";

/** What to call a checkpoint of a run. */
export function checkpointName({ settings, step }: Run): string {
  const { model, text } = settings.value;
  return `ostinato-${model}-${text}-step-${step.value}.safetensors`;
}

/** Gives the visitor a file. */
export function download(file: ArrayBuffer, name: string): void {
  const url = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
