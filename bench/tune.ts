/** The tuner: `npm run tune -- --help`. Runs in Node on Dawn, on the machine's GPU or the CPU's emulation of one. */
import { writeFileSync } from "node:fs";
import { Command, Option } from "commander";
import type { Device } from "../src/gpu/device.ts";
import { adapterKey, type DeviceKnobs, type TunedKnobs, tunedFor } from "../src/ops/tuned.ts";
import { MEASURED } from "../src/ops/tunedTable.ts";
import { ADAPTER_KINDS, openAdapter } from "./adapter.ts";
import { findClock } from "./measure.ts";
import { adapterName, digits, terminalTable } from "./table.ts";
import { FAMILIES } from "./tune/families.ts";
import { type Search, searchFamily } from "./tune/search.ts";
import { TABLE_FILE, tableText } from "./tune/store.ts";

/** Rows shown of each table: the best, what stands, and what was wrong. */
const SHOWN = 8;

const program = new Command("npm run tune --")
  .description(
    "Tries the knobs of matrix products, softmax and normalisation on this device, each candidate checked against float64, and keeps the fastest for its adapter in src/ops/tunedTable.ts.",
  )
  .option("--filter <text>", "only knobs whose name contains the text, for instance tiles", "")
  .option("--budget <ms>", "milliseconds of samples a candidate and shape", Number, 150)
  .option("--dry", "show the tables and keep nothing", false)
  .addOption(
    new Option("--adapter <kind>", "the CPU's emulation, or the machine's own GPU; fails where it is missing").choices(
      ADAPTER_KINDS,
    ),
  )
  .allowExcessArguments(false);

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  else process.stderr.write(`${text}\n`);
}

function show({ family, trials, winner }: Search): void {
  const now = trials.findIndex(({ ratio }) => ratio === 1);
  const shown = trials.filter(({ error }, i) => i < SHOWN || i === now || error !== null);
  const rows = shown.map((trial) =>
    trial.error === null
      ? [
          `${JSON.stringify(trial.candidate)}${trial === trials[now] ? " (now)" : trial.candidate === winner ? " (kept)" : ""}`,
          trial.ms.map(digits).join(" + "),
          `${digits(trial.ratio)}x`,
        ]
      : [JSON.stringify(trial.candidate), trial.error],
  );
  console.log(
    `\n${family.name}: ${family.work.join(", ")}; ${trials.length} candidates\n${terminalTable(["knobs", "ms", "time"], rows)}`,
  );
}

async function tune(device: Device): Promise<void> {
  const { filter, budget, dry } = program.opts<{ filter: string; budget: number; dry: boolean }>();
  const families = FAMILIES.filter((family) => family.name.includes(filter) && family.fits(device));
  if (families.length === 0)
    throw new Error(`tune: no knobs of this device are called ${filter}; it has ${namesFor(device)}`);
  const key = adapterKey(device);
  const clock = await findClock(device);
  console.log(`adapter ${adapterName({ adapter: key, software: device.software })}, time by ${clock.method}`);
  const table: Record<string, TunedKnobs> = { ...MEASURED };
  let entry: TunedKnobs = table[key] ?? {};
  let knobs: DeviceKnobs = tunedFor(device);
  let kept = 0;
  for (const family of families) {
    const search = await searchFamily(device, family, knobs, clock, { budgetMs: budget, samples: 50 }, progress);
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
    show(search);
    if (search.winner === null) continue;
    entry = family.store(search.winner, entry);
    table[key] = entry;
    kept++;
    knobs = tunedFor(device, table);
    // At once: a search takes minutes, and the next may be interrupted.
    if (!dry) writeFileSync(TABLE_FILE, tableText(table));
  }
  const file = dry ? "nothing is written" : TABLE_FILE;
  console.log(kept > 0 ? `\n${file}` : "\nnothing was clearly faster each time: the table stays as it is");
}

function namesFor(device: Device): string {
  return FAMILIES.filter((family) => family.fits(device))
    .map(({ name }) => name)
    .join(", ");
}

try {
  program.parse(process.argv.slice(3), { from: "user" });
  const { adapter = process.env.OSTINATO_GPU === "hardware" ? "hardware" : null } = program.opts();
  if (adapter) process.env.OSTINATO_GPU = adapter;
  // Imported here, because scripts/chrome.ts reads the variable as it loads.
  const { getGpu } = await import("../test/support/device.ts");
  await tune(await openAdapter(await getGpu(), adapter));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
// Dawn keeps the process alive.
process.exit();
