/**
 * Runs every case of a fixture folder in Node on Dawn: `npm run conformance [-- FILTER]`. The folder is
 * OSTINATO_FIXTURES, or ../shared/fixtures/public where it exists, or the subset in test/fixtures/cases.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { openDevice } from "../src/gpu/open.ts";
import { NotCovered } from "../test/conformance/kind.ts";
import type { Manifest } from "../test/conformance/manifest.ts";
import { kinds, runCase } from "../test/conformance/run.ts";
import { getGpu } from "../test/support/device.ts";

const root = join(import.meta.dirname, "..");
const candidates = [
  process.env.OSTINATO_FIXTURES,
  join(root, "../shared/fixtures/public"),
  join(root, "test/fixtures/cases"),
];
const folder = candidates.find((path) => path !== undefined && existsSync(join(path, "manifest.json")));
if (!folder) throw new Error("conformance: no folder with a manifest.json was found; set OSTINATO_FIXTURES to one");

const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
const filter = process.argv[3];
const cases = manifest.cases.filter((entry) => !filter || entry.name.includes(filter) || entry.kind === filter);
const device = await openDevice({ gpu: await getGpu() });
console.log(`${cases.length} cases of ${relative(root, folder)} on ${device.info.description}`);

const counts = new Map<string, { passed: number; failed: number; skipped: number; worst: number }>();
for (const entry of cases) {
  const count = counts.get(entry.kind) ?? { passed: 0, failed: 0, skipped: 0, worst: 0 };
  counts.set(entry.kind, count);
  if (!kinds[entry.kind]) {
    count.skipped++;
    continue;
  }
  try {
    const [worst] = await runCase(device, entry, new Uint8Array(readFileSync(join(folder, entry.file))));
    count.worst = Math.max(count.worst, worst?.ratio ?? 0);
    if (worst && worst.ratio <= 1) count.passed++;
    else {
      count.failed++;
      console.log(
        `  FAILED ${entry.name}: ${worst?.tensor} ${worst?.detail} (${worst?.ratio.toPrecision(3)} times its tolerance)`,
      );
    }
  } catch (error) {
    if (error instanceof NotCovered) {
      count.skipped++;
      continue;
    }
    count.failed++;
    console.log(
      `  FAILED ${entry.name}: ${error instanceof Error ? error.stack?.split("\n").slice(0, 3).join(" ") : error}`,
    );
  }
}
const total = { passed: 0, failed: 0, skipped: 0 };
for (const [kind, { passed, failed, skipped, worst }] of [...counts].sort()) {
  const close = passed > 0 ? `worst at ${worst.toPrecision(2)} of its tolerance` : "no such operation yet";
  console.log(
    `${kind.padEnd(16)} ${String(passed).padStart(3)} passed ${String(failed).padStart(3)} failed ${String(skipped).padStart(3)} skipped  ${close}`,
  );
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
