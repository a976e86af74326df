import { Presets, SingleBar } from "cli-progress";
import type { TrainReport } from "ostinato";

/** A bar where a person looks, a line now and then where a file does. */
export class Progress {
  private readonly bar = new SingleBar(
    {
      format: "{bar} {value}/{total}  loss {loss}  {rate} tokens/s  {eta_formatted} left",
      noTTYOutput: true,
      notTTYSchedule: 5000,
      stopOnComplete: false,
      hideCursor: true,
    },
    Presets.shades_classic,
  );

  start(total: number, step: number): void {
    this.bar.start(total, step, { loss: "-", rate: "-" });
  }

  update({ step, records, tokensPerSecond }: TrainReport): void {
    const loss = records.at(-1)?.loss.toFixed(4) ?? "-";
    this.bar.update(step, { loss, rate: Math.round(tokensPerSecond).toLocaleString("en") });
  }

  stop(): void {
    this.bar.stop();
  }
}
