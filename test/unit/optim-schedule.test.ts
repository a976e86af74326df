import { describe, expect, test } from "vitest";
import {
  constantLr,
  cosineAnnealing,
  exponentialLr,
  linearWarmup,
  linearWarmupDecay,
  type Schedule,
  type ScheduleDescription,
  scheduleFrom,
  stepLr,
  warmupCosine,
} from "../../src/optim/schedule.ts";
import reference from "../fixtures/schedules.json" with { type: "json" };

const { base_lr: base, min_lr: min, warmup, total } = reference;

const published: [name: keyof typeof reference, schedule: Schedule][] = [
  ["torch_CosineAnnealingLR", cosineAnnealing({ base, min, total })],
  ["torch_LinearLR", linearWarmup({ peak: base, warmup, start: 0.1 })],
  ["torch_ExponentialLR", exponentialLr({ base, gamma: 0.9 })],
  ["torch_StepLR", stepLr({ base, stepSize: 7, gamma: 0.3 })],
  ["warmup_cosine_nanogpt_old", warmupCosine({ peak: base, floor: min, warmup, total, fromZero: true })],
  ["warmup_cosine_nanogpt_new", warmupCosine({ peak: base, floor: min, warmup, total })],
  ["hf_linear_with_warmup", linearWarmupDecay({ peak: base, warmup, total })],
  ["hf_cosine_with_warmup", warmupCosine({ peak: base, warmup, total, fromZero: true })],
];

describe("published schedules", () => {
  for (const [name, schedule] of published) {
    test(name, () => {
      const { values } = reference[name] as { values: number[] };
      for (const [step, value] of values.entries()) {
        expect(Math.abs(schedule(step) - value)).toBeLessThanOrEqual(1e-6 * value + 1e-12);
      }
    });
  }

  test("all of the reference file are tested", () => {
    const names = Object.entries(reference).filter(([, value]) => typeof value === "object");
    expect(published.map(([name]) => name).sort()).toEqual(names.map(([name]) => name).sort());
  });
});

test("warm-up 4, peak 1e-3, floor 1e-4, total 10", () => {
  const schedule = warmupCosine({ peak: 1e-3, floor: 1e-4, warmup: 4, total: 10 });
  const wanted = [2, 4, 6, 8, 10, 9.3971143, 7.75, 5.5, 3.25, 1.6028857, 1, 1, 1];
  for (const [step, value] of wanted.entries()) expect(schedule(step) * 1e4).toBeCloseTo(value, 6);
});

test("edges stay finite and not negative", () => {
  for (const length of [0, 1, 10]) {
    for (const warm of new Set([0, length])) {
      const edges = [
        linearWarmup({ peak: 1, warmup: warm }),
        warmupCosine({ peak: 1, floor: 0.1, warmup: warm, total: length }),
        warmupCosine({ peak: 1, floor: 0.1, warmup: warm, total: length, fromZero: true }),
        cosineAnnealing({ base: 1, total: length }),
        linearWarmupDecay({ peak: 1, warmup: warm, total: length }),
        stepLr({ base: 1, stepSize: 1 }),
        exponentialLr({ base: 1, gamma: 0 }),
        constantLr(0),
      ];
      for (const schedule of edges) {
        for (const step of [0, 1, length - 1, length, length + 1, 1e6]) {
          const rate = schedule(Math.max(step, 0));
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(1);
        }
      }
    }
  }
});

test("without warm-up the first step has the peak, after the end the floor holds", () => {
  const schedule = warmupCosine({ peak: 0.5, floor: 0.25, total: 8 });
  expect([0, 8, 9, 1000].map(schedule)).toEqual([0.5, 0.25, 0.25, 0.25]);
});

test("a schedule comes back from its JSON description", () => {
  for (const [, schedule] of [...published, ["constant", constantLr(0.01)] as const]) {
    const again = scheduleFrom(JSON.parse(JSON.stringify(schedule.description)) as ScheduleDescription);
    expect(again.description).toEqual(schedule.description);
    for (let step = 0; step < 60; step++) expect(again(step)).toBe(schedule(step));
  }
});

test("options out of range are errors that name them", () => {
  expect(() => constantLr(-1)).toThrow("constantLr: lr must be a finite number of at least 0, got -1");
  expect(() => stepLr({ base: 1, stepSize: 0 })).toThrow("stepSize must be at least 1");
  expect(() => cosineAnnealing({ base: Number.NaN, total: 3 })).toThrow("base must be a finite number");
  expect(() => exponentialLr({ base: 1, gamma: -0.5 })).toThrow("gamma");
  expect(() => linearWarmup({ peak: 1, warmup: 2.5 })).toThrow("warmup must be a number of steps");
  expect(() => warmupCosine({ peak: 1, warmup: 11, total: 10 })).toThrow("warmup is 11 and total is 10");
  expect(() => linearWarmupDecay({ peak: 1, warmup: 11, total: 10 })).toThrow("warmup is 11 and total is 10");
  expect(() => scheduleFrom({ kind: "triangle" } as unknown as ScheduleDescription)).toThrow(
    'no schedule of kind "triangle"',
  );
});
