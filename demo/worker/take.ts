import type { Lab } from "./lab.ts";
import type { Run } from "./run.ts";

/** Makes a run that lay in a file the lab's own. It is read and built before the present run is given up: a bad file must not cost it. */
export async function takeRun(lab: Lab, build: () => Run): Promise<Run> {
  const run = await lab.turns.interrupt(async () => build());
  await lab.training.end("stopped");
  return lab.turns.take(() => lab.replaceRun(() => run));
}
