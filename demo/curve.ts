import type { HeldOutPoint, Point } from "./protocol.ts";
import type { Quality } from "./quality.ts";

/** More points than a chart has pixels help nobody. */
const MOST = 2000;

/** What a chart can have along x. */
export type Axis = "step" | "tokens" | "seconds";

/** The curves of one run. Beyond a few thousand points every second one is dropped, again and again. */
export class Curve {
  points: Point[] = [];
  heldOut: HeldOutPoint[] = [];
  private stride = 1;
  private seen = 0;

  add(points: readonly Point[]): void {
    for (const point of points) if (this.seen++ % this.stride === 0) this.points.push(point);
    if (this.points.length > MOST) {
      this.points = everySecond(this.points);
      this.stride *= 2;
    }
  }

  addHeldOut(point: HeldOutPoint): void {
    this.heldOut.push(point);
    if (this.heldOut.length > MOST) this.heldOut = everySecond(this.heldOut);
  }

  /** Drops what lies after `step`: the run went back to a checkpoint. */
  rewind(step: number): void {
    this.points = this.points.filter((point) => point.step <= step);
    this.heldOut = this.heldOut.filter((point) => point.step <= step);
  }

  get last(): Point | undefined {
    return this.points.at(-1);
  }

  /** Best on held-out text; before the first evaluation, the lowest training loss. NaN if there is neither. */
  best({ of, higherIsBetter }: Quality): number {
    const values = (this.heldOut.length ? this.heldOut : this.points).map(of).filter(Number.isFinite);
    if (values.length === 0) return Number.NaN;
    return values.reduce((a, b) => (higherIsBetter ? Math.max(a, b) : Math.min(a, b)));
  }

  /** Steps a second of late, for the time left; null before there is a measure. */
  get pace(): number | null {
    const to = this.points.at(-1);
    const from = this.points.at(-40) ?? this.points[0];
    if (!to || !from || to.seconds <= from.seconds) return null;
    return (to.step - from.step) / (to.seconds - from.seconds);
  }
}

/** At most `most` items at equal distances, the last among them. */
export function thin<T>(items: readonly T[], most: number): T[] {
  const stride = Math.max(1, Math.ceil(items.length / most));
  return items.filter((_, i) => (items.length - 1 - i) % stride === 0);
}

const everySecond = <T>(items: readonly T[]): T[] => items.filter((_, i) => i % 2 === 0);
