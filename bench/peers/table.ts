import { PEERS, type Peer } from "./peers.ts";
import { type Cell, isMeasured, type Measurement, type Report, type Timing } from "./record.ts";

/** Three significant digits, without exponents. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
const ratio = (value: number): string => `${digits(value)}x`;
const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(0);
const exponent = (error: number): string => (error === 0 ? "0" : Number.isNaN(error) ? "NaN" : error.toExponential(1));
const launches = ({ counts: { dispatches, submits, maps } }: Timing): string => `${dispatches}/${submits}/${maps}`;

/** A line of progress. */
export function line({ workload, peer, measurement }: Cell): string {
  return `${workload.padEnd(18)} ${peer.padEnd(12)} ${summary(measurement)}`;
}

function summary(measurement: Measurement): string {
  if ("skipped" in measurement) return `skipped: ${measurement.skipped}`;
  if ("failed" in measurement) return `FAILED: ${measurement.failed}`;
  const { medianMs, first, right, error, peakBytes, tokensPerSecond, gflops } = measurement;
  return [
    `${digits(medianMs).padStart(6)} ms`,
    `first ${digits(first.ms)} ms, ${first.pipelines} pipelines`,
    `${right ? "error" : "WRONG, error"} ${exponent(error)}`,
    `dispatches/submits/maps ${launches(measurement)}`,
    `${mebibytes(peakBytes)} MiB`,
    ...(tokensPerSecond ? [`${digits(tokensPerSecond)} tokens/s`] : []),
    ...(gflops ? [`${digits(gflops)} GFLOP/s`] : []),
  ].join(", ");
}

/** A Markdown table with a row a workload; rows without an entry are left out. */
function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const filled = rows.filter(([, ...entries]) => entries.some((entry) => entry !== "-"));
  if (filled.length === 0) return "";
  const lines = [head, head.map(() => "---"), ...filled].map((cells) => `| ${cells.join(" | ")} |`);
  return `## ${title}\n\n${lines.join("\n")}\n`;
}

/** The whole report in Markdown. */
export function tables(report: Report): string {
  const { cells, sizes } = report;
  const workloads = [...new Set(cells.map(({ workload }) => workload))];
  const peers = PEERS.filter(({ name }) => cells.some(({ peer }) => peer === name));
  const withRole = (...roles: readonly Peer["role"][]) => peers.filter(({ role }) => roles.includes(role));
  const timing = (workload: string, peer: string): Timing | null => {
    const found = cells.find((cell) => cell.workload === workload && cell.peer === peer)?.measurement;
    return found && isMeasured(found) ? found : null;
  };
  const best = (workload: string): number => {
    const times = withRole("peer").map(({ name }) => timing(workload, name));
    return Math.min(...times.map((found) => (found?.right ? found.medianMs : Number.POSITIVE_INFINITY)));
  };
  const each = (title: string, columns: readonly Peer[], show: (found: Timing, workload: string) => string) =>
    table(
      title,
      ["workload", ...columns.map(({ name }) => name)],
      workloads.map((workload) => [
        workload,
        ...columns.map(({ name }) => {
          const found = timing(workload, name);
          return found ? show(found, workload) : "-";
        }),
      ]),
    );
  const time = ({ medianMs, right, tokensPerSecond }: Timing, workload: string): string => {
    const fastest = best(workload);
    const parts = [digits(medianMs)];
    if (!right) parts.push("WRONG");
    else if (Number.isFinite(fastest)) parts.push(`(${ratio(medianMs / fastest)})`);
    if (tokensPerSecond) parts.push(`${digits(tokensPerSecond)} tokens/s`);
    return parts.join(" ");
  };

  const gpu = withRole("self", "peer", "yardstick");
  const sections = [
    heading(report),
    each("How many times as fast as each peer", withRole("peer"), (found, workload) => {
      const own = timing(workload, "ostinato");
      if (!own) return "-";
      return own.right && found.right ? ratio(found.medianMs / own.medianMs) : "WRONG";
    }),
    each("Milliseconds a step, median (and as a multiple of the fastest WebGPU peer's)", gpu, time),
    each("Engines on the CPU, for information", withRole("cpu"), time),
    each("Dispatches / submits / mapAsync a step", gpu, launches),
    each("First step in milliseconds: tracing and compiling (pipelines)", gpu, ({ first }) =>
      first.pipelines ? `${digits(first.ms)} (${first.pipelines})` : digits(first.ms),
    ),
    each("Milliseconds a step, several enqueued before one wait", gpu, ({ pipelinedMs }) =>
      pipelinedMs === null ? "-" : digits(pipelinedMs),
    ),
    each("Most MiB of GPU buffers alive at once, pools and inputs included", gpu, ({ peakBytes }) =>
      mebibytes(peakBytes),
    ),
    each("Largest relative error against float64", peers, ({ error }) => exponent(error)),
    each(
      "Quartiles in milliseconds, repetitions",
      peers,
      ({ quartilesMs: [low, high], reps }) => `${digits(low)}-${digits(high)}, ${reps}`,
    ),
    table(
      "What an engine adds to a page, in kB",
      ["engine", "minified", "gzipped"],
      withRole("self", "peer").flatMap(({ name }) => {
        const size = sizes[name];
        return size ? [[name, kilobytes(size.minified), kilobytes(size.gzipped)]] : [];
      }),
    ),
    missing(cells),
  ];
  return sections.filter((section) => section !== "").join("\n");
}

/** An emulation shouts, so that nobody takes its times for a GPU's. */
export function adapterName(adapter: string): string {
  return isEmulation(adapter) ? adapter.toUpperCase() : adapter;
}

/** Why a run must not begin: the machine's own GPU was asked for, and this is another adapter, or none. */
export function refusal(adapter: string, hardware: boolean): string | null {
  return hardware && (adapter === "none" || isEmulation(adapter))
    ? `OSTINATO_GPU=hardware: no hardware adapter was found, only ${adapterName(adapter)}; install a driver for Vulkan, Metal or Direct3D 12, or unset it`
    : null;
}

const isEmulation = (adapter: string): boolean => /swiftshader|llvmpipe|warp|basic render/i.test(adapter);

function heading({ date, command, browser, adapter, machine, load, versions, options }: Report): string {
  const note = isEmulation(adapter)
    ? "\nThe adapter is A CPU EMULATION OF A GPU: compare ratios, not milliseconds.\n"
    : "";
  const facts = [
    `${date.slice(0, 10)}: \`${command}\`, ${options.rounds} rounds of at most ${options.reps} repetitions or ${options.budgetMs} ms`,
    `${browser}, adapter ${adapterName(adapter)}, ${machine}, load average ${load.toFixed(1)} before the run`,
    ...Object.entries(versions).map(([name, version]) => `${name}: ${version}`),
  ];
  return `# Ostinato beside other engines\n\n${facts.map((fact) => `- ${fact}`).join("\n")}\n${note}`;
}

/** What was not measured, or came out wrong, with the workloads that share the reason. */
function missing(cells: readonly Cell[]): string {
  const reasons = new Map<string, string[]>();
  for (const { workload, peer, measurement } of cells) {
    const reason = problem(measurement);
    if (reason) reasons.set(`${peer}: ${reason}`, [...(reasons.get(`${peer}: ${reason}`) ?? []), workload]);
  }
  if (reasons.size === 0) return "";
  return `## Not measured, or wrong\n\n${[...reasons].map(([reason, where]) => `- ${reason} (${where.join(", ")})`).join("\n")}\n`;
}

function problem(measurement: Measurement): string | null {
  if ("skipped" in measurement) return measurement.skipped;
  if ("failed" in measurement) return `failed: ${measurement.failed}`;
  return measurement.right ? null : `wrong: ${measurement.where}, error ${exponent(measurement.error)}`;
}
