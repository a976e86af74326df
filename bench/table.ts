/** A run as text: the same rows for the terminal and for Markdown. */
import Table from "cli-table3";
import type { Comparison } from "./compare.ts";
import type { Machine, Report } from "./job.ts";
import { isTimed } from "./measure.ts";
import { standing } from "./roofline/roofline.ts";
import type { Column, Row } from "./scenarios/scenario.ts";

/** Three significant digits, without exponents. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.max(0, Math.min(6, 3 - whole)));
}

const mebibytes = (bytes: number) => digits(bytes / 2 ** 20);

/** A software adapter shouts, so that nobody takes its times for a GPU's. */
export function adapterName({ adapter, software }: Pick<Machine, "adapter" | "software">): string {
  return software ? `${adapter.toUpperCase()} (A CPU EMULATION OF A GPU: COMPARE RATIOS, NOT TIMES)` : adapter;
}

export const HEAD = [
  ...["line", "ms", "quartiles", "n", "GFLOP/s", "GB/s", "FLOP/B", "% of bound", "% of tile"],
  ...["first ms", "compile ms", "JS us", "launches", "JS us/launch", "MiB"],
];

/** Matrix products and nothing else: what a register tile can be compared with. */
const isProduct = (name: string): boolean => name.startsWith("matmul/");

/** Cells of the lines that were timed; lines that were not come with one cell, the reason. */
export function cells(report: Report): string[][] {
  const { results, roofline } = report;
  return results.map((result) => {
    if (!isTimed(result)) return [result.name, result.error];
    const { name, median, low, high, count, repeats, flops } = result;
    const under = roofline && standing(result, roofline);
    return [
      ...[name, digits(median), `${digits(low)} - ${digits(high)}`, repeats > 1 ? `${count} x ${repeats}` : `${count}`],
      ...(under
        ? [
            flops ? digits(under.gflops) : "-",
            digits(under.gbs),
            flops ? digits(under.intensity) : "-",
            `${digits(100 * under.share)} ${under.boundBy}`,
            isProduct(name) ? digits((100 * under.gflops) / roofline.tileGflops) : "-",
          ]
        : ["-", "-", "-", "-", "-"]),
      ...[digits(result.firstMs), digits(result.compileMs), digits(result.scriptUs)],
      ...[
        `${result.dispatches}`,
        digits(result.scriptUs / Math.max(result.dispatches, 1)),
        mebibytes(result.peakBytes),
      ],
    ];
  });
}

const plain = {
  ...{ top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "", "bottom-left": "" },
  ...{ "bottom-right": "", left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " },
};

export function terminalTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = head.map((_, i) => (i === 0 ? ("left" as const) : ("right" as const)));
  const table = new Table({
    head: [...head],
    chars: plain,
    colAligns: numeric,
    style: { head: [], border: [], "padding-left": 0 },
  });
  for (const row of rows)
    table.push(
      row.length < head.length
        ? [row[0] as string, { content: row[1] ?? "", colSpan: head.length - 1, hAlign: "left" }]
        : [...row],
    );
  return table.toString();
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [
    head,
    head.map(() => "---"),
    ...rows.map((row) => [...row, ...new Array(head.length - row.length).fill("")]),
  ];
  return lines.map((row) => `| ${row.join(" | ")} |`).join("\n");
}

export function facts(report: Report): string[] {
  const { machine, roofline } = report;
  const { method, tickNs } = machine.clock;
  const { scriptTickUs } = machine;
  return [
    `${report.date.slice(0, 10)}: ${report.command}`,
    `adapter ${adapterName(machine)}`,
    `${report.runtime}, ${report.host}, load average ${report.load.toFixed(1)} before the run`,
    `time by ${method}${tickNs ? `, a tick of ${tickNs} ns` : ""}${scriptTickUs ? `; JavaScript by a clock of ${digits(scriptTickUs)} us` : ""}`,
    ...(roofline
      ? [
          `peaks of this device in this run: ${digits(roofline.gflops)} GFLOP/s of fused multiply-adds, ${digits(roofline.tileGflops)} GFLOP/s of a register tile of products, ${digits(roofline.storageGBs)} GB/s of storage copies, ` +
            `${digits(roofline.workgroupGBs)} GB/s of workgroup memory; a dispatch ${digits(roofline.dispatchUs)} us, a read-back ${digits(roofline.readBackMs)} ms`,
        ]
      : []),
  ];
}

export function comparisonRows(comparisons: readonly Comparison[]): string[][] {
  return comparisons.map(({ name, ratio, verdict }) => [name, ratio === null ? "-" : `${digits(ratio)}x`, verdict]);
}

/** As `digits`, but with an exponent where they would show nothing but zeros. */
const shown = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1) : digits(value);

/** A scenario's rows under its columns. */
export function scenarioCells(columns: readonly Column[], rows: readonly Row[]): string[][] {
  const show = (value: Row[string] | undefined) =>
    typeof value === "number" ? (Number.isInteger(value) ? `${value}` : shown(value)) : (value ?? "-");
  return rows.map((row) => columns.map(({ name }) => show(row[name])));
}
