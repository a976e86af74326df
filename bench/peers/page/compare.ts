import type { Outputs } from "../workloads.ts";

/** How far results are from the reference. */
export interface Comparison {
  /** Largest difference over the largest value of the reference, worst of all outputs; NaN if they cannot be compared. */
  readonly error: number;
  /** The output it is about, and what is wrong with it if it cannot be compared. */
  readonly where: string;
}

export function compare(outputs: Outputs, reference: Readonly<Record<string, Float64Array>>): Comparison {
  let worst: Comparison = { error: 0, where: "" };
  for (const [name, wanted] of Object.entries(reference)) {
    const found = outputs[name];
    if (!found) return { error: Number.NaN, where: `${name} is missing` };
    if (found.length !== wanted.length) {
      return { error: Number.NaN, where: `${name} has ${found.length} values instead of ${wanted.length}` };
    }
    let [difference, largest] = [0, 0];
    for (let i = 0; i < wanted.length; i++) {
      if (!Number.isFinite(found[i])) return { error: Number.NaN, where: `${name}[${i}] is ${found[i]}` };
      difference = Math.max(difference, Math.abs(found[i] - wanted[i]));
      largest = Math.max(largest, Math.abs(wanted[i]));
    }
    const error = difference / (largest || 1);
    if (error >= worst.error) worst = { error, where: name };
  }
  return worst;
}

/** Reads what references.ts stored: float64 bytes in base64, by name. */
export async function loadReference(name: string): Promise<Record<string, Float64Array>> {
  const response = await fetch(`/references/${name}.json`);
  const entries = Object.entries((await response.json()) as Record<string, string>);
  return Object.fromEntries(
    entries.map(([key, text]) => {
      const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
      return [key, new Float64Array(bytes.buffer)];
    }),
  );
}
