/** What a fixture folder's manifest.json says of one tensor. */
export interface TensorEntry {
  readonly dtype: "F32" | "I32" | "U8";
  readonly shape: readonly number[];
  /** Tolerance of a reference value: |x - ref| <= atol + rtol |ref|. */
  readonly atol?: number;
  readonly rtol?: number;
}

export interface CaseEntry {
  readonly name: string;
  readonly kind: string;
  readonly file: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, TensorEntry>>;
}

export interface Manifest {
  readonly cases: readonly CaseEntry[];
}
