export interface Tolerance {
  /** Allowed difference, whatever the size of the expected number; default 1e-5. */
  readonly atol?: number;
  /** Allowed difference as a share of the expected number; default 1e-4. */
  readonly rtol?: number;
  /** Named in the message. */
  readonly what?: string;
}

/** Numbers on either side of the first bad one in a failure. */
const NEIGHBOURS = 2;

/**
 * Checks |actual - expected| <= atol + rtol |expected| element by element; NaN equals only NaN, an infinity only itself.
 * A failure shows how many elements are bad, the first and the worst of them, and a table around the first.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol = 1e-5, rtol = 1e-4, what = "values" }: Tolerance = {},
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} elements where ${expected.length} were expected`);
  }
  const excess = (i: number) => {
    const [a, e] = [actual[i] as number, expected[i] as number];
    if (Object.is(a, e) || a === e) return 0;
    const difference = Math.abs(a - e) / (atol + rtol * Math.abs(e));
    return Number.isFinite(difference) ? difference : Number.POSITIVE_INFINITY;
  };
  let first = -1;
  let worst = -1;
  let bad = 0;
  for (let i = 0; i < expected.length; i++) {
    const by = excess(i);
    if (by <= 1) continue;
    bad++;
    if (first < 0) first = i;
    if (worst < 0 || by > excess(worst)) worst = i;
  }
  if (bad === 0) return;
  const rows = [["index", "actual", "expected", "", ""]];
  for (let i = Math.max(0, first - NEIGHBOURS); i <= Math.min(expected.length - 1, first + NEIGHBOURS); i++) {
    rows.push([
      `${i}`,
      show(actual[i]),
      show(expected[i]),
      show(Math.abs((actual[i] as number) - (expected[i] as number))),
      excess(i) > 1 ? "xx" : "",
    ]);
  }
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  const table = rows
    .map((row) =>
      row
        .map((cell, i) => cell.padStart(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
  throw new Error(
    `${what}: ${bad} of ${expected.length} differ by more than ${atol} + ${rtol} |expected|; first at ${first}, worst at ${worst} (${show(actual[worst])} for ${show(expected[worst])})\n${table}`,
  );
}

function show(value: number | undefined): string {
  return value === undefined ? "" : Number.isInteger(value) ? `${value}` : value.toPrecision(8);
}
