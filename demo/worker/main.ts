/** The worker's door: requests go to the features, their answers and events to the page. */
import type { Message, Request } from "../protocol.ts";
import { failureOf } from "./failure.ts";
import { answers } from "./features/index.ts";
import { Lab } from "./lab.ts";

function post(message: Message, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

const table = answers(new Lab((event) => post({ kind: "event", event })));

self.addEventListener("message", async ({ data: { id, name, input } }: MessageEvent<Request>) => {
  try {
    const value: unknown = await Reflect.apply(table[name], null, input);
    post({ kind: "answer", id, value }, value instanceof ArrayBuffer ? [value] : []);
  } catch (error) {
    post({ kind: "refusal", id, failure: failureOf(error) });
  }
});
