import { Command, InvalidArgumentError, Option } from "commander";
import { ADAPTER_KINDS, type AdapterKind } from "./adapter.ts";

export interface Options {
  readonly runtime: "chrome" | "node";
  readonly filter: string | null;
  readonly list: boolean;
  readonly json: string | null;
  readonly save: string | null;
  readonly compare: string | null;
  /** Share by which a line may be slower than the saved run. */
  readonly maxRegression: number;
  /** Null: the emulation where the run can choose, else what there is. */
  readonly adapter: AdapterKind | null;
  readonly power: GPUPowerPreference | null;
  readonly headed: boolean;
  readonly watch: boolean;
  readonly quick: boolean;
  readonly kernel: readonly string[];
  readonly entry: string | null;
  readonly size: Readonly<Record<string, number>>;
  readonly scenario: string | null;
  readonly budget: number;
}

/** `rows=1024,channels=256` */
function parseSizes(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const sizes = { ...before };
  for (const part of text.split(",")) {
    const [name = "", value = ""] = part.split("=");
    if (!/^[A-Za-z_]\w*$/.test(name.trim()) || value.trim() === "" || !Number.isFinite(Number(value)))
      throw new InvalidArgumentError(`"${part}" is not NAME=NUMBER, as in rows=1024,channels=256`);
    sizes[name.trim()] = Number(value);
  }
  return sizes;
}

function share(text: string): number {
  const value = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError("use a share such as 0.1 or 10%");
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("use a number above 0");
  return value;
}

/** Names of kept runs become file names. */
function runName(text: string): string {
  if (!/^[\w.-]+$/.test(text)) throw new InvalidArgumentError("use letters, digits, dots, dashes and underscores");
  return text;
}

export function command(): Command {
  return new Command("npm run bench --")
    .description(
      "Checks kernels and operations against float64 references, then times them against the device's roofline.",
    )
    .addOption(new Option("--runtime <where>", "where to run").choices(["chrome", "node"]).default("chrome"))
    .option("--filter <text>", "lines whose name contains the text, or matches it as a regular expression")
    .option("--list", "names of the lines and scenarios", false)
    .option("--json <file>", "write the report as JSON")
    .option("--save <name>", "keep the run under a name, for --compare", runName)
    .option("--compare <name>", "ratio and verdict a line against a kept run", runName)
    .option("--max-regression <share>", "slower than this share of a kept line fails", share, 0.1)
    .addOption(
      new Option(
        "--adapter <kind>",
        "the CPU's emulation, or the machine's own GPU; fails where it is missing",
      ).choices(ADAPTER_KINDS),
    )
    .addOption(new Option("--power <preference>", "which GPU of several").choices(["low-power", "high-performance"]))
    .option("--headed", "show the browser", false)
    .option("--watch", "run again whenever a kernel, an operation or the bench changes", false)
    .option("--quick", "few samples: right or wrong, and a rough time", false)
    .option("--kernel <file...>", "time a .wgsl file without a line; of two, the results are compared as well")
    .option("--entry <name>", "its entry point (default: the first)")
    .option(
      "--size <sizes>",
      "its uniform fields, knobs, sizes of buffers, groups: rows=1024,channels=256",
      parseSizes,
      {},
    )
    .option("--scenario <name>", "run an experiment and keep its table and picture")
    .option("--budget <ms>", "milliseconds of samples a line", positive)
    .allowExcessArguments(false);
}

/** @throws CommanderError where the arguments are wrong, after saying so */
export function parseOptions(args: readonly string[], parser = command()): Options {
  const values = parser.parse(args, { from: "user" }).opts();
  const { filter, json, save, compare, adapter, power, entry, scenario, kernel, budget } = values;
  if (values.size && Object.keys(values.size).length > 0 && !kernel)
    parser.error("--size goes with --kernel; lines of the suite have sizes of their own");
  if (entry && !kernel) parser.error("--entry goes with --kernel");
  if (filter) {
    try {
      new RegExp(filter);
    } catch {
      parser.error(`--filter: ${filter} is no regular expression`);
    }
  }
  return {
    runtime: values.runtime,
    ...{ filter: filter ?? null, list: values.list, json: json ?? null, save: save ?? null, compare: compare ?? null },
    maxRegression: values.maxRegression,
    adapter: adapter ?? (process.env.OSTINATO_GPU === "hardware" ? "hardware" : null),
    ...{ power: power ?? null, headed: values.headed, watch: values.watch, quick: values.quick },
    ...{ kernel: kernel ?? [], entry: entry ?? null, size: values.size, scenario: scenario ?? null },
    budget: budget ?? (values.quick ? 100 : 1000),
  };
}
