/** Numbers as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12,345 */
export const count = (n: number): string => whole.format(n);

/** 950, 12.3 k, 1.24 M: three figures. */
export function brief(n: number): string {
  if (!Number.isFinite(n)) return "–";
  if (n >= 999_500) return `${(n / 1e6).toPrecision(3)} M`;
  if (n >= 9_995) return `${(n / 1e3).toPrecision(3)} k`;
  return n >= 100 ? whole.format(n) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

/** 512 B, 3.2 KB, 18.4 MB, in powers of 1,024. */
export function bytes(n: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  let value = n;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? whole.format(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 1.234; losses and norms. */
export const decimal = (n: number): string => (Number.isFinite(n) ? n.toFixed(3) : "–");

/** A learning rate: 0.002, 3.5e-5. */
export function rate(n: number): string {
  if (n === 0) return "0";
  return n >= 1e-3 ? String(+n.toPrecision(2)) : n.toExponential(1);
}

/** 8 s, 4 min 20 s, 2 h 5 min. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 10) return `${minutes} min ${s % 60} s`;
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 0.42 ms, 4.2 ms, 42 ms, 1.2 s. */
export function milliseconds(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toPrecision(2)} ms`;
}

/** 0.5, 500, 50 k, 1.5 M */
export function short(tick: number): string {
  if (tick < 10) return `${+tick.toFixed(1)}`;
  if (tick >= 1e6) return `${+(tick / 1e6).toFixed(2)} M`;
  return tick >= 1e4 ? `${+(tick / 1e3).toFixed(1)} k` : count(tick);
}

/** 97% */
export const percent = (share: number): string => `${Math.round(100 * share)}%`;

/** A text with one empty line at most in a row: young models write many, which would push all else out of sight. */
export const squeezed = (text: string): string => text.replace(/\n(?:[^\S\n]*\n){2,}/g, "\n\n");
