/** Files that runs leave: kept runs for comparison, reports for reading. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Report } from "./job.ts";

const root = import.meta.dirname;
const runs = join(root, "report", "runs");

/** Published figures; the README's come from here. */
export const RESULTS = join(root, "results");
export const REPORT = join(root, "report", "index.html");

export function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

export const toJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export function saveRun(name: string, report: Report): void {
  write(join(runs, `${name}.json`), toJson(report));
}

/** @throws Error if nothing was saved under the name, here or among the published results */
export function loadRun(name: string): Report {
  const file = [runs, RESULTS].map((folder) => join(folder, `${name}.json`)).find((path) => existsSync(path));
  if (!file) throw new Error(`there is no saved run ${name}; make one with --save ${name}`);
  return JSON.parse(readFileSync(file, "utf8")) as Report;
}

/** The run before this one, if any: what the report's bars are measured against when nothing else is named. */
export const LAST = "last";
export function loadLast(): Report | null {
  return existsSync(join(runs, `${LAST}.json`)) ? loadRun(LAST) : null;
}

/** Whether two runs tell of kernels: on the same adapter, and both in a browser or both in Node. */
export function comparable(a: Report, b: Report): boolean {
  const place = ({ machine, runtime }: Report) => `${machine.adapter.toUpperCase()} ${runtime.split(/[ /]/)[0]}`;
  return place(a) === place(b);
}

/** Time of a peer as a multiple of this engine's. */
export interface PeerRatio {
  readonly name: string;
  readonly peer: string;
  readonly ratio: number;
}

/** Those of the published `npm run bench:peers`, and where they were measured. */
export function loadPeers(): { ratios: PeerRatio[]; source: string } {
  const file = join(RESULTS, "peers.json");
  if (!existsSync(file)) return { ratios: [], source: "" };
  const { cells, date, adapter, browser } = JSON.parse(readFileSync(file, "utf8")) as {
    date: string;
    adapter: string;
    browser: string;
    cells: { workload: string; peer: string; measurement: { medianMs?: number; right?: boolean } }[];
  };
  const own = new Map(cells.filter(({ peer }) => peer === "ostinato").map((cell) => [cell.workload, cell.measurement]));
  const ratios = cells.flatMap(({ workload, peer, measurement }) => {
    const mine = own.get(workload)?.medianMs;
    const webgpu = peer.endsWith("webgpu");
    if (!mine || !measurement.medianMs || !measurement.right || !webgpu) return [];
    return [{ name: workload, peer, ratio: measurement.medianMs / mine }];
  });
  return { ratios, source: `bench/results/peers.json: ${date.slice(0, 10)}, ${browser}, ${adapter}` };
}
