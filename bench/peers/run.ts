/**
 * The peer benchmark: every engine at every workload in one Chrome, a fresh page a cell, the engines of a workload
 * after each other so that they share the machine's mood. `npm run bench:peers -- --help` lists the options.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Browser, Page } from "puppeteer";
import { launchChrome } from "../../scripts/chrome.ts";
import { buildAdapters, PACKAGES } from "./build.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { type Cell, isTiming, type Measurement, type Report, type TimingOptions } from "./record.ts";
import { ensureReferences } from "./references.ts";
import { serve } from "./serve.ts";
import { adapterName, line, refusal, tables } from "./table.ts";
import type { WorkloadName } from "./workloads.ts";

const root = import.meta.dirname;

/** The engines come with an install of their own, at the versions of the lock file here. */
function installPeers(): void {
  if (existsSync(join(root, "node_modules"))) return;
  console.log("installing the peers (once, about 500 MB)");
  const shell = process.platform === "win32";
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, stdio: "inherit", shell });
}

function versionsOf({ peers }: Options): Record<string, string> {
  const versions = peers.flatMap(({ name, version }) => {
    if (!version) return [];
    const text = readFileSync(join(root, "node_modules", version, "package.json"), "utf8");
    return [[name, `${version} ${(JSON.parse(text) as { version: string }).version}`]];
  });
  return Object.fromEntries(versions);
}

/** A fresh page; what it complains about goes to `complaints`. */
async function openPage(browser: Browser, url: string, complaints: Set<string>): Promise<Page> {
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") complaints.add(message.text().slice(0, 300));
  });
  page.on("pageerror", (error) => complaints.add(String(error).slice(0, 300)));
  page.on("error", (error) => complaints.add(`the page crashed: ${error.message}`));
  await page.goto(url);
  await page.waitForFunction("window.measureEngine !== undefined");
  return page;
}

async function measureCell(
  page: Page,
  peer: string,
  workload: WorkloadName,
  timing: TimingOptions,
): Promise<Measurement> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Measurement>((settle) => {
    timer = setTimeout(
      () => settle({ failed: "the page did not answer in time" }),
      2 * timing.timeoutMs + 2 * timing.budgetMs,
    );
  });
  const asked = page.evaluate(
    (url, name, options) => window.measureEngine?.(url, name, options),
    `/dist/${peer}.js`,
    workload,
    timing,
  ) as Promise<Measurement>;
  const failed = asked.catch((error: Error): Measurement => ({ failed: error.message.slice(0, 300) }));
  const measurement = await Promise.race([failed, late]);
  clearTimeout(timer);
  return measurement;
}

const isWrong = (measurement: Measurement): boolean =>
  "failed" in measurement ? true : isTiming(measurement) && !measurement.right;

async function run(options: Options): Promise<void> {
  const [load] = loadavg();
  installPeers();
  const cache = join(root, ".cache");
  const dist = join(root, "dist");
  const sizes = await buildAdapters(root, dist, options.peers);
  const references = ensureReferences(root, cache, options.workloads);
  const { url, server } = await serve({ dist, references, [PACKAGES]: join(root, "node_modules") });
  const browser = await launchChrome({ protocolTimeout: 0 });
  const cells: Cell[] = [];
  try {
    const page = await openPage(browser, url, new Set());
    const adapter = adapterName((await page.evaluate(() => window.describeAdapter?.())) as string);
    await page.close();
    const refused = refusal(adapter, process.env.OSTINATO_GPU === "hardware");
    if (refused) throw new Error(refused);
    const report = {
      date: new Date().toISOString(),
      command: ["npm run bench:peers --", ...process.argv.slice(3)].join(" "),
      browser: await browser.version(),
      adapter,
      load,
      machine: `${cpus().length} x ${cpus()[0]?.model ?? "unknown"}`,
      versions: versionsOf(options),
      options: options.timing,
      sizes,
    };
    console.log(`${report.browser}, adapter ${adapter}`);
    for (const workload of options.workloads) {
      for (const { name: peer } of options.peers) {
        const complaints = new Set<string>();
        const fresh = await openPage(browser, url, complaints);
        const cell: Cell = { workload, peer, measurement: await measureCell(fresh, peer, workload, options.timing) };
        await fresh.close().catch(() => {});
        cells.push(cell);
        console.log(line(cell));
        if (isWrong(cell.measurement)) for (const text of complaints) console.log(`    ${text}`);
        write(options, { ...report, cells });
      }
    }
    console.log(`\n${tables({ ...report, cells })}`);
  } finally {
    await browser.close();
    server.close();
  }
  if (cells.some(({ peer, measurement }) => peer === "ostinato" && isWrong(measurement))) process.exitCode = 1;
}

/** Written after every cell, so that an interrupted run leaves what it has. */
function write({ out }: Options, report: Report): void {
  if (!out) return;
  const file = resolve(out);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.json`, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(`${file}.md`, `${tables(report)}`);
}

try {
  const options = parseOptions(process.argv.slice(3));
  if (options === "help") console.log(HELP);
  else await run(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
