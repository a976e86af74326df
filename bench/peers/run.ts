/**
 * The peer benchmark: every engine at every workload in one Chrome, fresh pages for each, the engines of a workload
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
import { type Cell, isMeasured, type Measurement, type Report, type Round, type TimingOptions } from "./record.ts";
import { ensureReferences } from "./references.ts";
import { pool } from "./rounds.ts";
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
): Promise<Measurement<Round>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Measurement<Round>>((settle) => {
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
  ) as Promise<Measurement<Round>>;
  const failed = asked.catch((error: Error): Measurement<Round> => ({ failed: error.message.slice(0, 300) }));
  const measurement = await Promise.race([failed, late]);
  clearTimeout(timer);
  return measurement;
}

const isWrong = (measurement: Measurement<{ readonly right: boolean }>): boolean =>
  "failed" in measurement ? true : isMeasured(measurement) && !measurement.right;

/**
 * Rounds of every engine, in the order of the engines. Their order in time turns around from round to round, because
 * whoever comes first pays for what the browser still does after the page before, or after its own start.
 */
async function measureWorkload(
  browser: Browser,
  url: string,
  workload: WorkloadName,
  { peers, rounds, timing }: Options,
): Promise<Measurement<Round>[][]> {
  const found = peers.map((): Measurement<Round>[] => []);
  const order = peers.map(({ name }, i) => ({ name, measured: found[i] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { name: peer, measured } of order) {
      // What cannot be measured is not tried again.
      if (measured.some((measurement) => !isMeasured(measurement))) continue;
      const complaints = new Set<string>();
      const page = await openPage(browser, url, complaints);
      const measurement = await measureCell(page, peer, workload, timing);
      await page.close().catch(() => {});
      measured.push(measurement);
      console.log(line({ workload, peer, measurement: pool([measurement]) }));
      if (isWrong(measurement)) for (const text of complaints) console.log(`    ${text}`);
    }
    order.reverse();
  }
  return found;
}

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
      options: { ...options.timing, rounds: options.rounds },
      sizes,
    };
    console.log(`${report.browser}, adapter ${adapter}`);
    for (const workload of options.workloads) {
      const found = await measureWorkload(browser, url, workload, options);
      cells.push(...options.peers.map(({ name }, i) => ({ workload, peer: name, measurement: pool(found[i]) })));
      write(options, { ...report, cells });
    }
    console.log(`\n${tables({ ...report, cells })}`);
  } finally {
    await browser.close();
    server.close();
  }
  if (cells.some(({ peer, measurement }) => peer === "ostinato" && isWrong(measurement))) process.exitCode = 1;
}

/** Written after every workload, so that an interrupted run leaves what it has. */
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
