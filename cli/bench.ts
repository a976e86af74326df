import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import type { Report } from "../bench/job.ts";
import { cells, facts, HEAD, terminalTable } from "../bench/table.ts";
import { Failure } from "./failure.ts";
import { checkPlace } from "./files.ts";
import { explained, findGpu } from "./gpu.ts";
import { say } from "./progress.ts";

export interface BenchOptions {
  readonly list?: boolean;
  /** Only lines whose names contain it. */
  readonly filter?: string;
  /** Few samples, and no peaks of the device. */
  readonly quick?: boolean;
  /** Milliseconds of samples a line. */
  readonly budget?: number;
  readonly power?: GPUPowerPreference;
  /** Where the report goes as JSON. */
  readonly json?: string;
}

/** Checks operations against float64 and times them beside this device's peaks. @throws Failure if one is wrong */
export async function bench(options: BenchOptions): Promise<void> {
  const { filter = "", quick = false, power = null, json } = options;
  const { LINES, measureSuite } = await import("./suite.ts");
  const lines = LINES.map(({ name }) => name).filter((name) => name.includes(filter));
  if (lines.length === 0) throw new Failure(`--filter ${filter}: no line's name contains that; --list names them all`);
  if (options.list) return console.log(lines.join("\n"));
  if (json) await checkPlace(json);
  const [load = 0] = loadavg();
  const timing = { budgetMs: options.budget ?? (quick ? 100 : 1000), samples: quick ? 5 : 50 };
  const gpu = await findGpu();
  const outcome = await measureSuite(gpu, { lines, timing, quick, power }, say).catch((error) => {
    throw explained(error);
  });
  say("");
  const report: Report = {
    ...{ date: new Date().toISOString(), command: ["ostinato", ...process.argv.slice(2)].join(" ") },
    ...{ runtime: `Node ${process.versions.node} on Dawn`, host: `${cpus().length} x ${cpus()[0]?.model}`, load },
    ...outcome,
  };
  console.log(`${facts(report).join("\n")}\n\n${terminalTable(HEAD, cells(report))}`);
  if (json) await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
  const wrong = report.results.flatMap((result) => ("error" in result ? [result.name] : []));
  if (wrong.length > 0) throw new Failure(`${wrong.join(", ")}: wrong on this device; run \`ostinato info\` too`);
}
