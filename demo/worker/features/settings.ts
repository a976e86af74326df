import type { Answers, Probe, Settings, SettingsCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { planRun } from "../plan.ts";
import { probeRun } from "../probe.ts";

export function settingsAnswers(lab: Lab): Answers<SettingsCalls> {
  /** Measured steps, by all that they depend on. */
  const probes = new Map<string, Probe>();
  return {
    async plan(settings) {
      return planRun(settings, await lab.texts.get(settings.text), lab.needLimits());
    },
    async probe(settings) {
      const text = await lab.texts.get(settings.text);
      const key = keyOf(settings, text.tokenizer.vocabSize);
      const device = lab.needDevice();
      if (!probes.has(key) && lab.training.goal !== "training")
        await lab.turns.yielding(async () => void probes.set(key, await probeRun(device, settings, text)));
      return probes.get(key) ?? null;
    },
  };
}

function keyOf({ model, layers, width, context, options, batch, sequence, clip }: Settings, vocabSize: number): string {
  return JSON.stringify([model, layers, width, context, options, batch, sequence, clip, vocabSize]);
}
