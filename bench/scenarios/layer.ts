import type { Device } from "../../src/gpu/device.ts";
import { modelKinds } from "../../src/models/registry.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { smallModel, timePlan, trainingStep } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

interface Sizes {
  readonly width: number;
  readonly B: number;
  readonly T: number;
}

/** Launches and milliseconds of a training step, and of a token after it, of so many layers. */
async function measure(device: Device, kind: string, sizes: Sizes, numLayers: number) {
  const step = await trainingStep(device, kind, { ...sizes, numLayers });
  const train = { launches: step.plan.dispatches, ms: await timePlan(device, step.plan) };
  step.dispose();

  const model = smallModel(device, kind, sizes.width, sizes.T, numLayers);
  const decoder = model.decoder();
  const state = model.initialState(1);
  const token = tensor(device, [1], [1], "u32");
  const plan = await capture(device, () =>
    scope(() => {
      state.assign(decoder.step(token, state).state);
    }),
  );
  const decode = { launches: plan.dispatches, ms: await timePlan(device, plan) };
  for (const one of [plan, state, token, decoder, model]) one.dispose();
  return { train, decode };
}

export const scenario: Scenario = {
  name: "layer",
  title: "What a layer more costs",
  shows:
    "Kernels launched for one layer more (what a model of three takes beyond one of two), in a training step of 4 texts of 64 tokens at width 64 and for a token after them, and the time of the three.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "trainLaunches", label: "launches a layer, training" },
    { name: "decodeLaunches", label: "launches a layer, a token" },
    { name: "trainMs", label: "ms a training step of 3 layers" },
    { name: "decodeMs", label: "ms a token of 3 layers" },
  ],
  pictures: [
    { mark: "bar", x: "kind", y: "trainLaunches" },
    { mark: "bar", x: "kind", y: "decodeLaunches" },
  ],
  async run(device, { quick, progress }) {
    const sizes = quick ? { width: 16, B: 1, T: 8 } : { width: 64, B: 4, T: 64 };
    const rows: Row[] = [];
    for (const { kind, label } of modelKinds) {
      progress(label);
      const two = await measure(device, kind, sizes, 2);
      const three = await measure(device, kind, sizes, 3);
      rows.push({
        kind: label,
        trainLaunches: three.train.launches - two.train.launches,
        decodeLaunches: three.decode.launches - two.decode.launches,
        trainMs: three.train.ms,
        decodeMs: three.decode.ms,
      });
    }
    return rows;
  },
};
