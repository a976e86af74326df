import { Presets, SingleBar } from "cli-progress";
import type { TrainReport } from "ostinato";

/** Says on a terminal what is being done, over what it said before; nothing where a file listens. */
export function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

/** A bar where a person looks, a line now and then where a file does. */
export class Progress {
  private readonly bar = new SingleBar(
    {
      format: "{bar} {value}/{total}  loss {loss}  {rate} tokens/s  {left}",
      noTTYOutput: true,
      notTTYSchedule: 5000,
      stopOnComplete: false,
      hideCursor: true,
    },
    Presets.shades_classic,
  );

  private begin = { time: 0, step: 0 };
  private total = 0;

  start(total: number, step: number): void {
    this.begin = { time: performance.now(), step };
    this.total = total;
    this.bar.start(total, step, { loss: "-", rate: "-", left: "compiling kernels" });
  }

  update({ step, records, tokensPerSecond }: TrainReport): void {
    const loss = records.at(-1)?.loss.toFixed(4) ?? "-";
    const rate = Math.round(tokensPerSecond).toLocaleString("en");
    const seconds = (performance.now() - this.begin.time) / 1000;
    const left = (seconds / Math.max(1, step - this.begin.step)) * (this.total - step);
    this.bar.update(step, { loss, rate, left: `${duration(left)} left` });
  }

  stop(): void {
    this.bar.stop();
  }
}

function duration(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.ceil(seconds)} s`;
}
