import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import type { CostPoint } from "../protocol.ts";
import { stateBytesOf, takes } from "./models.ts";

/** Lengths of text after which a token is timed. */
const CONTEXTS = { hardware: [32, 128, 512, 2048], software: [32, 64, 128, 256, 512] } as const;
/** Tokens that are timed together. */
const TOKENS = 4;
/** The quickest of so many counts: whatever else the machine did slowed the others. */
const ROUNDS = 3;

/**
 * What one more token costs a model of this configuration: time, and bytes that it remembers. Measured with fresh
 * weights, which cost what trained ones do; a model that sees only so far back gets a window for each length.
 */
export async function measureCost(device: Device, config: ModelConfig): Promise<readonly CostPoint[]> {
  const windowed = takes(modelKind(config.kind), "contextLength");
  const measured: { point: CostPoint; readonly model: LanguageModel; readonly session: Session }[] = [];
  try {
    for (const context of CONTEXTS[device.software ? "software" : "hardware"]) {
      const model = createModel(device, { ...config, ...(windowed && { contextLength: context }) });
      const session = new Session(model);
      const bytes = stateBytesOf(model);
      measured.push({ point: { context, milliseconds: Number.POSITIVE_INFINITY, bytes }, model, session });
      session.feed(new Int32Array(context - (1 + ROUNDS) * TOKENS));
      await write(session); // records the step, which compiles what is new
    }
    // In turns: what slows the machine for a while slows no length alone.
    for (let round = 0; round < ROUNDS; round++) {
      for (const one of measured) {
        const start = performance.now();
        await write(one.session);
        const milliseconds = Math.min(one.point.milliseconds, (performance.now() - start) / TOKENS);
        one.point = { ...one.point, milliseconds };
      }
    }
    return measured.map(({ point }) => point);
  } finally {
    for (const { model, session } of measured) {
      session.dispose();
      model.dispose();
    }
  }
}

async function write(session: Session): Promise<void> {
  for await (const _ of session.generate({ maxTokens: TOKENS, readEvery: TOKENS }));
}
