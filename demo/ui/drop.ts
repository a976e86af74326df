import type { Actions } from "../actions.ts";
import { byId } from "./dom.ts";

/** Files dropped anywhere on the page: a checkpoint is loaded, anything else is a text to learn. */
export function mountDrop(actions: Actions): void {
  const sign = byId("drop");
  let depth = 0;
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;

  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth++;
    sign.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (carriesFiles(event)) sign.hidden = --depth <= 0;
  });
  addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    depth = 0;
    sign.hidden = true;
    if (file.name.endsWith(".safetensors")) void actions.load(file);
    else void actions.offerText(file);
  });
}
