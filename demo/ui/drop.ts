import type { Actions } from "../actions.ts";
import { byId } from "./dom.ts";

const MODEL = /\.(safetensors|pth|pt)$/i;

/** Files dropped anywhere on the page: a checkpoint is opened, with its tokenizer if that is dropped too; anything else is a text to learn. */
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
    const files = [...(event.dataTransfer?.files ?? [])];
    const [file] = files;
    if (!file) return;
    event.preventDefault();
    depth = 0;
    sign.hidden = true;
    if (files.some(({ name }) => MODEL.test(name))) void actions.load(files);
    else void actions.offerText(file);
  });
}
