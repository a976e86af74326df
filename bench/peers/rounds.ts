import { summarise } from "../statistics.ts";
import { isMeasured, type Measurement, type Round } from "./record.ts";

/**
 * One measurement of the rounds of a cell: repetitions of all of them together, the first step of the first, because
 * a browser keeps compiled pipelines for the pages after it. Not measured where a round was not; wrong where one was.
 */
export function pool(rounds: readonly Measurement<Round>[]): Measurement {
  const missing = rounds.find((round) => !isMeasured(round));
  if (missing && !isMeasured(missing)) return missing;
  const measured = rounds.filter(isMeasured);
  const [first] = measured;
  if (!first) throw new RangeError("pool: there are no rounds; measure at least once");
  const { prepareMs, first: firstStep, counts, tokens, flop } = first;
  const wrong = measured.find(({ right }) => !right);
  const { error, where } = wrong ?? measured.reduce((worst, round) => (round.error <= worst.error ? worst : round));
  const times = measured.flatMap(({ timesMs }) => timesMs);
  const { median: medianMs, low, high, count: reps } = summarise(times);
  const pipelined = measured.flatMap(({ pipelinedMs }) => pipelinedMs ?? []);
  return {
    ...{ prepareMs, first: firstStep, error, where, right: !wrong, counts },
    ...{ reps, medianMs, quartilesMs: [low, high], leastMs: times.reduce((a, b) => Math.min(a, b)) },
    pipelinedMs: pipelined.length > 0 ? summarise(pipelined).median : null,
    peakBytes: Math.max(...measured.map(({ peakBytes }) => peakBytes)),
    ...(tokens > 0 ? { tokensPerSecond: (tokens / medianMs) * 1000 } : {}),
    ...(flop ? { gflops: flop / medianMs / 1e6 } : {}),
  };
}
