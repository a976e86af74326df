import { Curve, thin } from "../curve.ts";
import type { History, Point, Sample } from "../protocol.ts";

/** What a file keeps of the curves: enough to draw them again. */
const POINTS = 600;
const SAMPLES = 40;

/** The course of a run, as its checkpoint keeps it. */
export class Story {
  readonly curve = new Curve();
  samples: Sample[] = [];

  /** Seconds of training so far. */
  get seconds(): number {
    return this.curve.last?.seconds ?? 0;
  }

  add(points: readonly Point[]): void {
    this.curve.add(points);
  }

  /** The place of the latest step along every axis. */
  get now(): Pick<Point, "step" | "tokens" | "seconds"> {
    const { step, tokens, seconds } = this.curve.last ?? { step: 0, tokens: 0, seconds: 0 };
    return { step, tokens, seconds };
  }

  history(): History {
    const { points, heldOut } = this.curve;
    return { points: thin(points, POINTS), heldOut: thin(heldOut, POINTS), samples: this.samples.slice(-SAMPLES) };
  }

  static from({ points, heldOut, samples }: History): Story {
    const story = new Story();
    story.add(points);
    for (const point of heldOut) story.curve.addHeldOut(point);
    story.samples = [...samples];
    return story;
  }
}
