/** The page in which the suite runs. */
import type { Job, Outcome, Progress } from "./job.ts";
import { runJob } from "./session.ts";

declare global {
  interface Window {
    /** Given by the runner in Node. */
    benchProgress?: Progress;
    /** Failures are answers: what the browser makes of an exception has lines of minified code in its message. */
    runBench?: (job: Job) => Promise<Outcome | { readonly failure: string }>;
  }
}

window.runBench = async (job) => {
  if (!navigator.gpu) return { failure: "this browser offers no WebGPU; see scripts/chrome.ts for its switches" };
  try {
    return await runJob(navigator.gpu, job, (text) => window.benchProgress?.(text));
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
};
