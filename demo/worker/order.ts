/**
 * The rows of a picture that tell most, like beside like, so that what units do together is seen as a band: of `count` rows
 * at most `most`, those that change most from place to place, begun with the strongest and each followed by the most similar.
 *
 * @param values [count, width], row by row
 */
export function telling(values: Float32Array, count: number, width: number, most: number): number[] {
  const row = (i: number) => values.subarray(i * width, (i + 1) * width);
  const all = Array.from({ length: count }, (_, i) => i);
  const change = all.map((i) => variation(row(i)));
  const chosen = all.sort((a, b) => (change[b] as number) - (change[a] as number) || a - b).slice(0, most);
  const unit = new Map(chosen.map((i) => [i, normalised(row(i))]));
  const ordered = chosen.splice(0, 1);
  while (chosen.length > 0) {
    const last = unit.get(ordered.at(-1) as number) as Float32Array;
    const likeness = chosen.map((i) => dot(last, unit.get(i) as Float32Array));
    const next = likeness.reduce((best, value, i) => (value > (likeness[best] as number) ? i : best), 0);
    ordered.push(...chosen.splice(next, 1));
  }
  return ordered;
}

function variation(row: Float32Array): number {
  const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
  return row.reduce((sum, value) => sum + (value - mean) ** 2, 0);
}

function normalised(row: Float32Array): Float32Array {
  const norm = Math.sqrt(dot(row, row)) || 1;
  return row.map((value) => value / norm);
}

const dot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
