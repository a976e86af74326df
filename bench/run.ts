/** The kernel author's bench: `npm run bench -- --help` lists the options, bench/README.md explains them. */

import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { basename, join, resolve } from "node:path";
import { describe } from "../kernels/describe.ts";
import { comparisonChart, peerChart, rooflineChart, scenarioCharts, shareChart } from "./charts.ts";
import { type Comparison, compareRuns, passes } from "./compare.ts";
import { page, type Section } from "./html.ts";
import type { Job, KernelJob, Report } from "./job.ts";
import { comparable, LAST, loadLast, loadPeers, loadRun, REPORT, RESULTS, saveRun, toJson, write } from "./keep.ts";
import { isTimed } from "./measure.ts";
import { type Options, parseOptions } from "./options.ts";
import { ROOFLINE_KERNELS, type RooflineKernels } from "./roofline/roofline.ts";
import type { Runtime } from "./runtime.ts";
import { findScenario, SCENARIOS } from "./scenarios/all.ts";
import { LINES } from "./suite/lines.ts";
import {
  adapterName,
  cells,
  comparisonRows,
  facts,
  HEAD,
  markdownTable,
  scenarioCells,
  terminalTable,
} from "./table.ts";
import { watchSources } from "./watch.ts";

const root = import.meta.dirname;

function kernelOf(file: string, name = basename(file, ".wgsl")) {
  return describe(readFileSync(file, "utf8"), name);
}

function kernelJob(file: string, { entry, size }: Options): KernelJob {
  const kernel = kernelOf(resolve(file));
  const names = Object.keys(kernel.entries);
  const chosen = entry ?? (names[0] as string);
  if (!kernel.entries[chosen])
    throw new Error(`${file}: no entry point is called ${chosen}; it has ${names.join(", ")}`);
  return { file, kernel, entry: chosen, sizes: size };
}

/** Names that contain the text or match it. */
function filtered(names: readonly string[], filter: string | null): string[] {
  return names.filter((name) => !filter || name.includes(filter) || new RegExp(filter).test(name));
}

function jobOf(options: Options): Job {
  const roofline = Object.fromEntries(
    ROOFLINE_KERNELS.map((name) => [name, kernelOf(join(root, "roofline", `${name}.wgsl`), `roofline/${name}`)]),
  ) as RooflineKernels;
  const what = options.scenario ? "scenario" : options.kernel.length > 0 ? "kernels" : "suite";
  const lines =
    what === "suite"
      ? filtered(
          LINES.map(({ name }) => name),
          options.filter,
        )
      : [];
  if (what === "suite" && lines.length === 0)
    throw new Error(`--filter ${options.filter} matches no line; --list names them`);
  return {
    ...{ what, lines, roofline, adapter: options.adapter, power: options.power, quick: options.quick },
    kernels: options.kernel.map((file) => kernelJob(file, options)),
    scenario: options.scenario && findScenario(options.scenario).name,
    timing: { budgetMs: options.budget, samples: options.quick ? 5 : 50 },
  };
}

/** One line of progress that the next overwrites; on a pipe, a line each. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  else process.stderr.write(`${text}\n`);
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
}

async function measure(runtime: Runtime, options: Options): Promise<Report> {
  const [load = 0] = loadavg();
  const outcome = await runtime.run(jobOf(options), progress);
  endProgress();
  return {
    date: new Date().toISOString(),
    command: ["npm run bench --", ...process.argv.slice(3)].join(" ").trim(),
    runtime: runtime.name,
    host: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}`,
    load,
    ...outcome,
  };
}

async function sectionsOf(
  report: Report,
  kept: Report | null,
  comparisons: readonly Comparison[],
  named: string | null,
): Promise<Section[]> {
  const { ratios, source } = loadPeers();
  const before = kept ? `${kept.date.slice(0, 16).replace("T", " ")}: ${kept.command}, ${kept.runtime}` : "";
  const charts = [
    { title: "Roofline", file: "-roofline", svg: rooflineChart(report) },
    { title: "What each line attains", file: "-bound", svg: shareChart(report) },
    {
      title: `Against ${named ?? "the run before"}`,
      note: before,
      svg: comparisonChart(comparisons, named ?? "the last run"),
    },
    { title: "Against other engines (npm run bench:peers)", note: source, svg: peerChart(ratios) },
  ];
  const drawn: Section[] = [];
  for (const { svg, ...head } of charts) if (svg) drawn.push({ ...head, svg: await svg });
  return drawn;
}

/** Table, page and files of the suite; false if a line is wrong or slower than allowed. */
async function showSuite(report: Report, options: Options): Promise<boolean> {
  console.log(`${facts(report).join("\n")}\n\n${terminalTable(HEAD, cells(report))}`);
  const kept = options.compare ? loadRun(options.compare) : loadLast();
  const alike = kept !== null && comparable(kept, report);
  // What is named is compared wherever it was measured; the run before only if that says something.
  const comparisons =
    kept && (options.compare || alike) ? compareRuns(report.results, kept.results, options.maxRegression) : [];
  if (options.compare) {
    console.log(`\n${terminalTable(["line", `against ${options.compare}`, "verdict"], comparisonRows(comparisons))}`);
    if (kept && !alike)
      console.log(
        `\n${options.compare} was measured on ${adapterName(kept.machine)}, ${kept.runtime}: the ratios compare the two places as well.`,
      );
  }
  const sections = await sectionsOf(report, kept, comparisons, options.compare);
  write(REPORT, page(report, sections));
  console.log(`\n${REPORT}`);
  saveRun(LAST, report);
  if (options.save) saveRun(options.save, report);
  if (options.json) {
    const file = resolve(options.json);
    write(file, toJson(report));
    const stem = file.replace(/\.json$/, "");
    write(
      `${stem}.md`,
      `# Bench\n\n${facts(report)
        .map((fact) => `- ${fact}`)
        .join("\n")}\n\n${markdownTable(HEAD, cells(report))}\n`,
    );
    for (const { file: ending, svg } of sections) if (ending) write(`${stem}${ending}.svg`, svg);
  }
  return report.results.every(isTimed) && (!options.compare || passes(comparisons));
}

async function showScenario(report: Report, name: string, { quick, json }: Options): Promise<boolean> {
  const scenario = findScenario(name);
  const head = scenario.columns.map(({ label }) => label);
  const rows = scenarioCells(scenario.columns, report.rows);
  console.log(`${scenario.title}\n${scenario.shows}\n\n${facts(report).join("\n")}\n\n${terminalTable(head, rows)}`);
  if (quick && !json) return report.rows.length > 0;
  const stem = json ? resolve(json).replace(/\.json$/, "") : join(RESULTS, name);
  const svgs = await Promise.all(scenarioCharts(scenario, report.rows));
  const files = svgs.map((_, i) => `${stem}${i ? `-${i + 1}` : ""}.svg`);
  for (const [i, svg] of svgs.entries()) write(files[i] as string, svg);
  const pictures = files.map((file) => `![${scenario.title}](${basename(file)})`).join("\n\n");
  write(`${stem}.json`, toJson(report));
  write(
    `${stem}.md`,
    `# ${scenario.title}\n\n${scenario.shows}\n\n${facts(report)
      .map((fact) => `- ${fact}`)
      .join("\n")}\n\n${markdownTable(head, rows)}\n\n${pictures}\n`,
  );
  console.log(`\n${stem}.json, .md, .svg`);
  return report.rows.length > 0;
}

async function open(options: Options): Promise<Runtime> {
  if (options.adapter) process.env.OSTINATO_GPU = options.adapter;
  // Imported here, because scripts/chrome.ts reads the variable as it loads.
  const { openChrome, openNode } = await import("./runtime.ts");
  return options.runtime === "node" ? openNode() : openChrome({ headed: options.headed });
}

async function once(options: Options): Promise<boolean> {
  if (options.compare) loadRun(options.compare); // a name that is not there must not cost a run
  const runtime = await open(options);
  try {
    const report = await measure(runtime, options);
    return options.scenario ? await showScenario(report, options.scenario, options) : await showSuite(report, options);
  } finally {
    await runtime.close();
  }
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(3));
  if (options.list) {
    console.log(
      filtered(
        LINES.map(({ name }) => name),
        options.filter,
      ).join("\n"),
    );
    console.log(`\nscenarios\n${SCENARIOS.map(({ name, title }) => `${name}: ${title}`).join("\n")}`);
    return;
  }
  if (options.watch) await watchSources(options.kernel);
  else process.exitCode = (await once(options)) ? 0 : 1;
}

try {
  await main();
} catch (error) {
  endProgress();
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
// Dawn keeps the process alive.
process.exit();
