/** Entry of the page: the driver opens a fresh one for each cell and calls `measureEngine`. */
import type { Measurement, Round, TimingOptions } from "../record.ts";
import type { WorkloadName } from "../workloads.ts";
import { installCounters } from "./counters.ts";
import type { Engine } from "./engine.ts";
import { measure } from "./measure.ts";

declare global {
  interface Window {
    /** @param url the engine's module */
    measureEngine?: (url: string, workload: WorkloadName, options: TimingOptions) => Promise<Measurement<Round>>;
    describeAdapter?: () => Promise<string>;
  }
}

installCounters();

window.measureEngine = async (url, workload, options) => {
  try {
    const { engine } = (await import(/* @vite-ignore */ url)) as { engine: Engine };
    return await measure(engine, workload, options);
  } catch (error) {
    return { failed: error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 500) : String(error) };
  }
};

window.describeAdapter = async () => {
  const info = (await navigator.gpu?.requestAdapter())?.info;
  return info ? [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ") : "none";
};
