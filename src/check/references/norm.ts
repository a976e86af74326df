import { type Ref, ref } from "../reference.ts";

/** x as (samples * groups) rows over channels / groups * inner elements each; an affine pair a channel. */
export function normRef(
  x: Ref,
  groups: number,
  channels: number,
  eps: number,
  center: boolean,
  weight?: Ref,
  bias?: Ref,
): Ref {
  const inner = x.shape.slice(2).reduce((a, b) => a * b, 1);
  const span = (channels / groups) * (x.shape.length > 2 ? inner : 1);
  const rows = Array.from({ length: x.data.length / span }, (_, r) => {
    const row = x.data.subarray(r * span, (r + 1) * span);
    const mean = center ? row.reduce((a, b) => a + b, 0) / span : 0;
    return { mean, deviation: Math.sqrt(row.reduce((a, b) => a + (b - mean) ** 2, 0) / span + eps) };
  });
  return ref(x.shape, (i) => {
    const { mean, deviation } = rows[Math.floor(i / span)] as { mean: number; deviation: number };
    const channel = x.shape.length > 2 ? Math.floor(i / inner) % channels : i % channels;
    return (((x.data[i] as number) - mean) / deviation) * (weight?.data[channel] ?? 1) + (bias?.data[channel] ?? 0);
  });
}
