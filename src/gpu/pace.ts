import type { DispatchCommand } from "./commands.ts";
import type { Pipeline } from "./pipelines.ts";

/** A submit that took this many times longer or shorter than expected is a surprise. */
const SURPRISE = 1.5;
/** Submits without a surprise after which only some are still timed. */
const SETTLED = 16;
/** Then two in so many are: the first tells when the second could begin. */
const SAMPLED = 64;
/** Milliseconds a workgroup of a launch that never ran yet is taken for, on a GPU and on an emulation. */
const UNKNOWN = { hardware: 1e-4, software: 1e-2 };

/** One shape of launch, in milliseconds. */
interface Launch {
  /** What it is thought to take: the least of the last two shares. */
  ms: number;
  /** Its share of the last submit that was timed. */
  share: number;
  readonly least: number;
}

/** Submits are numbered; this one ended at that time. */
interface Ended {
  readonly number: number;
  readonly time: number;
}

/**
 * Learns what launches take from the times of whole submits, so that long work is cut into several of
 * bearable length: a page's frames wait behind a submit on the same GPU, and drivers end one that takes seconds.
 *
 * A launch is known by its pipeline and its number of workgroups; the time of a submit is shared among its
 * launches in proportion to what was thought of each. Two submits must agree before a launch counts as slower,
 * because one may have waited for other work. Cutting changes no result.
 */
export class Pace {
  private readonly queue: GPUQueue;
  private readonly unknown: number;
  private readonly longest: number;
  private readonly launches = new WeakMap<Pipeline, Map<number, Launch>>();
  private open: Launch[] = [];
  private expected = 0;
  private submits = 0;
  private calm = 0;
  private last: Ended = { number: 0, time: 0 };
  /** What even an empty submit takes until the page hears of its end; at first a guess. */
  private latency = 5;

  /** @param longest milliseconds that a submit should take at most, unless a single launch takes longer */
  constructor(queue: GPUQueue, software: boolean, longest: number) {
    this.queue = queue;
    this.longest = longest;
    this.unknown = software ? UNKNOWN.software : UNKNOWN.hardware;
  }

  /** Notes a launch that is about to be encoded; true if the submit should end before it. */
  add(command: DispatchCommand): boolean {
    const launch = this.launchOf(command);
    const cut = this.open.length > 0 && this.expected + launch.ms > this.longest;
    if (cut) return true;
    this.open.push(launch);
    this.expected += launch.ms;
    return false;
  }

  /** Called right after each submit. */
  submitted(): void {
    const { open } = this;
    this.open = [];
    this.expected = 0;
    const number = ++this.submits;
    if (this.calm >= SETTLED && number % SAMPLED > 1) return;
    const start = performance.now();
    this.queue.onSubmittedWorkDone().then(
      () => {
        const time = performance.now();
        const { last } = this;
        this.last = { number, time };
        // Without the end of the submit before it, this one's beginning is not known.
        if (last.number === number - 1) this.learn(open, time - Math.max(start, last.time));
      },
      () => {}, // a lost device; whoever waits is told
    );
  }

  private learn(launches: readonly Launch[], took: number): void {
    this.latency = Math.min(this.latency, took);
    const ms = took - this.latency;
    // Not what was expected at the submit: others that were then under way have taught more since.
    const expected = launches.reduce((sum, launch) => sum + launch.ms, 0);
    const ratio = expected > 0 ? ms / expected : 1;
    const surprise = Math.max(ms, expected) > this.longest / 8 && (ratio > SURPRISE || ratio < 1 / SURPRISE);
    this.calm = surprise ? 0 : this.calm + 1;
    for (const launch of new Set(launches)) {
      const share = launch.ms * ratio;
      launch.ms = Math.max(launch.least, Math.min(share, launch.share));
      launch.share = share;
    }
  }

  private launchOf({ pipeline, x, y, z }: DispatchCommand): Launch {
    let sizes = this.launches.get(pipeline);
    if (!sizes) {
      sizes = new Map();
      this.launches.set(pipeline, sizes);
    }
    const groups = x * y * z;
    let launch = sizes.get(groups);
    if (!launch) {
      const ms = groups * this.unknown;
      launch = { ms, share: ms, least: ms / 16 };
      sizes.set(groups, launch);
    }
    return launch;
  }
}
