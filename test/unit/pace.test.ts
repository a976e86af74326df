import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { DispatchCommand } from "../../src/gpu/commands.ts";
import { Pace } from "../../src/gpu/pace.ts";
import type { Pipeline } from "../../src/gpu/pipelines.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Runs submits one after the other, each of `costs` milliseconds a launch and a latency of 1. */
class FakeQueue {
  private free = 0;
  private work = 0;
  /** Milliseconds of each submit so far. */
  readonly submits: number[] = [];

  launch(ms: number): void {
    this.work += ms;
  }

  end(): void {
    this.submits.push(this.work);
    this.free = Math.max(this.free, performance.now()) + this.work + 1;
    this.work = 0;
  }

  onSubmittedWorkDone(): Promise<undefined> {
    return new Promise((resolve) => setTimeout(() => resolve(undefined), this.free - performance.now()));
  }
}

const pipeline = (label: string) => ({ label }) as Pipeline;
const launchOf = (of: Pipeline, x: number) => ({ kind: "dispatch", pipeline: of, x, y: 1, z: 1 }) as DispatchCommand;

function bench() {
  const queue = new FakeQueue();
  const pace = new Pace(queue as unknown as GPUQueue, false, 200);
  const submit = () => {
    queue.end();
    pace.submitted();
  };
  /** One batch; returns the milliseconds of its submits. */
  const run = async (work: readonly (readonly [DispatchCommand, number])[]): Promise<number[]> => {
    const before = queue.submits.length;
    for (const [launch, ms] of work) {
      if (pace.add(launch)) {
        submit();
        pace.add(launch);
      }
      queue.launch(ms);
    }
    submit();
    await vi.runAllTimersAsync();
    return queue.submits.slice(before);
  };
  return run;
}

test("work that took a second is cut so that no submit runs over 250 ms", async () => {
  const run = bench();
  const [heavy, light] = [pipeline("heavy"), pipeline("light")];
  const work = Array.from({ length: 20 }, (_, i) =>
    i % 2 === 0 ? ([launchOf(heavy, 64), 90] as const) : ([launchOf(light, 1), 10] as const),
  );
  expect(await run(work)).toEqual([1000]);
  for (let i = 0; i < 4; i++) await run(work);
  const later = await run(work);
  expect(Math.max(...later)).toBeLessThanOrEqual(250);
  expect(later.length).toBeLessThanOrEqual(7);
});

test("many short launches stay one submit", async () => {
  const run = bench();
  const short = pipeline("short");
  await run([[launchOf(short, 1), 0.01]]);
  for (let i = 0; i < 40; i++) expect(await run(Array(400).fill([launchOf(short, 1), 0.01]))).toHaveLength(1);
});

test("an estimate follows when the same launch becomes slower, also after a long calm", async () => {
  const run = bench();
  const launch = launchOf(pipeline("product"), 16);
  for (let i = 0; i < 200; i++) await run(Array(4).fill([launch, 5]));
  let submits: number[] = [];
  for (let i = 0; i < 200; i++) submits = await run(Array(4).fill([launch, 150]));
  expect(submits).toEqual([150, 150, 150, 150]);
});

test("one submit that had to wait for other work changes nothing", async () => {
  const run = bench();
  const launch = launchOf(pipeline("product"), 16);
  for (let i = 0; i < 10; i++) await run(Array(4).fill([launch, 20]));
  await run(Array(4).fill([launch, 500]));
  expect(await run(Array(4).fill([launch, 20]))).toHaveLength(1);
});

test("one launch that never ends in time is sent alone", async () => {
  const run = bench();
  const [long, other] = [launchOf(pipeline("long"), 8), launchOf(pipeline("other"), 8)];
  for (let i = 0; i < 3; i++) await run([[long, 600]]);
  for (let i = 0; i < 3; i++) await run([[other, 20]]);
  expect(
    await run([
      [other, 20],
      [long, 600],
      [other, 20],
    ]),
  ).toEqual([20, 600, 20]);
});
