import { batch } from "@preact/signals-core";
import { type Client, Refusal } from "../client.ts";
import { inPageWords } from "../preflight.ts";
import type { Failure } from "../protocol.ts";
import type { State } from "../state.ts";

/** What every group of actions works with. */
export interface Context {
  readonly state: State;
  readonly client: Client;
  /** Says that all is well, in a sentence. */
  calm(sentence: string): void;
  /** Shows a failure; one that leaves no device also switches the page off. */
  fail(failure: Failure): void;
  /** Runs `work`; tells a failure in a sentence and returns null. */
  attempt<T>(work: () => Promise<T>): Promise<T | null>;
}

export function createContext(state: State, client: Client): Context {
  const calm = (sentence: string) => {
    state.status.value = { tone: "calm", sentence };
  };
  const fail = (failure: Failure) => {
    const told = inPageWords(failure, navigator.gpu !== undefined);
    batch(() => {
      state.status.value = { tone: "trouble", sentence: told.sentence };
      if (told.kind === "unavailable" || told.kind === "lost") state.device.value = { phase: "missing", failure: told };
    });
  };
  return {
    state,
    client,
    calm,
    fail,
    async attempt(work) {
      try {
        return await work();
      } catch (error) {
        fail(error instanceof Refusal ? error.failure : { kind: "internal", sentence: sentenceOf(error) });
        return null;
      }
    },
  };
}

const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
