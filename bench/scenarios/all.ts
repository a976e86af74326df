import type { Scenario } from "./scenario.ts";

const files = import.meta.glob<{ scenario?: Scenario }>(["./*.ts", "!./all.ts", "!./scenario.ts"], { eager: true });

/** What the files of this folder export as `scenario`, in their alphabetic order. */
export const SCENARIOS: readonly Scenario[] = Object.values(files).flatMap(({ scenario }) => scenario ?? []);

/** @throws Error naming those that exist */
export function findScenario(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (!found)
    throw new Error(`there is no scenario ${name}; use ${SCENARIOS.map((scenario) => scenario.name).join(", ")}`);
  return found;
}
