/** The page in which the suite runs. */
import type { Job, Outcome, Progress } from "./job.ts";
import { runJob } from "./session.ts";

declare global {
  interface Window {
    /** Given by the runner in Node. */
    benchProgress?: Progress;
    runBench?: (job: Job) => Promise<Outcome>;
  }
}

window.runBench = (job) => {
  if (!navigator.gpu) throw new Error("this browser offers no WebGPU; see scripts/chrome.ts for its switches");
  return runJob(navigator.gpu, job, (text) => window.benchProgress?.(text));
};
