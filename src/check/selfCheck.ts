import type { Device } from "../gpu/device.ts";
import { DeviceLostError } from "../gpu/errors.ts";
import { attentions } from "./cases/attention.ts";
import { elementwise } from "./cases/elementwise.ts";
import { products } from "./cases/products.ts";
import { recurrents } from "./cases/recurrent.ts";
import { scans } from "./cases/scans.ts";
import { shapes } from "./cases/shapes.ts";
import { trainings } from "./cases/training.ts";
import type { Check } from "./check.ts";
import { type Comparison, worstOf } from "./compare.ts";

/** How a family of kernels did on a device. */
export interface CheckResult {
  readonly name: string;
  /** Largest difference from float64, as a multiple of what is allowed; above 1 is wrong. */
  readonly forward: number;
  /** The same of the gradients; null where there are none. */
  readonly backward: number | null;
  readonly passed: boolean;
  /** Time with the compilation of its kernels, beside those of its neighbours. */
  readonly ms: number;
  /** What was wrong, in words; null if nothing was. */
  readonly fault: string | null;
}

/** All families, the quick ones first. */
export const checks: readonly Check[] = [
  ...elementwise,
  ...shapes,
  ...products,
  ...attentions,
  ...recurrents,
  ...scans,
  ...trainings,
];

/** What `selfCheck` runs, and whom it tells. */
export interface SelfCheckOptions {
  /** Which checks run; default all. */
  readonly checks?: readonly Check[];
  readonly signal?: AbortSignal;
  /** Called after each check. */
  readonly onResult?: (result: CheckResult, done: number, total: number) => void;
}

/** Checks under way at a time: the kernels of some compile while others run. */
const AHEAD = 6;

/**
 * Runs every kernel, forward and backward, at small odd sizes and compares with float64 on the host: whether this device,
 * driver and browser can be trusted. A check that throws is a failed one; the others still run.
 *
 * @throws DeviceLostError if the device is lost on the way
 */
export async function selfCheck(
  device: Device,
  { checks: chosen = checks, signal, onResult }: SelfCheckOptions = {},
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const ahead: Promise<CheckResult>[] = [];
  for (const [at, check] of chosen.entries()) {
    if (signal?.aborted) break;
    ahead.push(runCheck(device, check));
    // Later ones report their own failure when it is their turn.
    ahead.at(-1)?.catch(() => {});
    while (ahead.length > 0 && (ahead.length === AHEAD || at === chosen.length - 1)) {
      const result = (await ahead.shift()) as CheckResult;
      results.push(result);
      onResult?.(result, results.length, chosen.length);
    }
  }
  return results;
}

async function runCheck(device: Device, { name, run }: Check): Promise<CheckResult> {
  const start = performance.now();
  try {
    const found = await run(device);
    const ms = performance.now() - start;
    const worst = (pass: Comparison["pass"]) => {
      const all = found.filter((one) => one.pass === pass).map(worstOf);
      return all.length > 0 ? Math.max(...all) : null;
    };
    const wrong = found.filter((one) => !(worstOf(one) <= 1)).map(({ what }) => what);
    return {
      name,
      forward: worst("forward") ?? 0,
      backward: worst("backward"),
      passed: wrong.length === 0,
      ms,
      fault: wrong.length === 0 ? null : `${wrong.join(", ")} came out wrong`,
    };
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    const fault = error instanceof Error ? error.message : String(error);
    return {
      name,
      forward: Number.POSITIVE_INFINITY,
      backward: null,
      passed: false,
      ms: performance.now() - start,
      fault,
    };
  }
}

/** Results as a Markdown table under a line that names the device. */
export function checkTable(results: readonly CheckResult[], device: string): string {
  const failed = results.filter(({ passed }) => !passed).length;
  const verdict = failed === 0 ? `all ${results.length} right` : `${failed} of ${results.length} wrong`;
  const share = (error: number | null) =>
    error === null ? "" : Number.isFinite(error) ? error.toPrecision(2) : "not finite";
  const rows = results.map(({ name, forward, backward, passed, ms, fault }) => [
    name,
    share(forward),
    share(backward),
    passed ? "ok" : `WRONG: ${(fault ?? "").replaceAll("|", "\\|").replaceAll("\n", " ")}`,
    String(Math.round(ms)),
  ]);
  const head = ["Kernels", "Forward", "Backward", "Verdict", "ms"];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] as string).length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  const legend = "Errors against float64, as multiples of what is allowed: up to 1 is right.";
  return [`${device}: ${verdict}. ${legend}`, "", line(head), rule, ...rows.map(line)].join("\n");
}
