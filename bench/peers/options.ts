import { parseArgs } from "node:util";
import { PEERS, type Peer } from "./peers.ts";
import type { TimingOptions } from "./record.ts";
import { WORKLOADS, type WorkloadName } from "./workloads.ts";

export interface Options {
  readonly peers: readonly Peer[];
  readonly workloads: readonly WorkloadName[];
  /** Of a cell: how long each of its rounds is timed. */
  readonly timing: TimingOptions;
  /** Fresh pages a cell; the engines take turns. */
  readonly rounds: number;
  /** File of the report, without its ending. */
  readonly out: string | null;
}

export const HELP = `npm run bench:peers -- [options]
  --peers a,b        ${PEERS.map(({ name }) => name).join(", ")}
  --workloads a,b    ${Object.keys(WORKLOADS).join(", ")}
  --rounds N         fresh pages a cell, the engines in turn from first to last and back (2)
  --reps N           most repetitions a round (100)
  --budget MS        time to spend on a round's repetitions (1500)
  --timeout MS       time that preparing and a first step may take (120000)
  --out NAME         write NAME.json and NAME.md (only printed if left out)`;

export function parseOptions(args: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peers: { type: "string" },
      workloads: { type: "string" },
      rounds: { type: "string", default: "2" },
      reps: { type: "string", default: "100" },
      budget: { type: "string", default: "1500" },
      timeout: { type: "string", default: "120000" },
      out: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return "help";
  const number = (name: "rounds" | "reps" | "budget" | "timeout") => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new Error(`--${name} is ${values[name]}; use a number above 0`);
    return value;
  };
  return {
    peers: chosen(
      "peers",
      values.peers,
      PEERS.map((peer) => [peer.name, peer]),
    ),
    workloads: chosen(
      "workloads",
      values.workloads,
      (Object.keys(WORKLOADS) as WorkloadName[]).map((name) => [name, name]),
    ),
    rounds: number("rounds"),
    timing: { reps: number("reps"), budgetMs: number("budget"), timeoutMs: number("timeout") },
    out: values.out?.replace(/\.(json|md)$/, "") ?? null,
  };
}

/** The named ones, in the order of the table; all if none is named. */
function chosen<T>(option: string, list: string | undefined, all: readonly (readonly [string, T])[]): T[] {
  const names = list?.split(",");
  const unknown = names?.find((name) => !all.some(([known]) => known === name));
  if (unknown !== undefined)
    throw new Error(`--${option}: there is no ${unknown}; use ${all.map(([name]) => name).join(", ")}`);
  return all.filter(([name]) => !names || names.includes(name)).map(([, value]) => value);
}
