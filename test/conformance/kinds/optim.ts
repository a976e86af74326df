import { Adam, type AdamOptions, AdamW } from "../../../src/optim/adam.ts";
import type { Optimizer } from "../../../src/optim/optimizer.ts";
import { SGD, type SGDOptions } from "../../../src/optim/sgd.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { ELEMENT_BYTES } from "../../../src/tensor/dtype.ts";
import type { Shape } from "../../../src/tensor/shape.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { FixtureCase, Kind } from "../kind.ts";

type Values = Float32Array<ArrayBuffer>;

/** Leaves with gradients set by hand; returns how to set them. */
async function leavesOf(fixture: FixtureCase, prefix: string, shapeOf: (name: string) => Shape) {
  const names = fixture.names.flatMap((name) => (name.startsWith("in.grad.") ? [name.slice("in.grad.".length)] : []));
  const parameters = new Map<string, Tensor<"f32">>();
  const grads = new Map<string, Values>();
  for (const name of names) {
    grads.set(name, (await fixture.in(`grad.${name}`).data()) as Values);
    const start = prefix
      ? ((await fixture.in(`${prefix}${name}`).data()) as Values)
      : new Float32Array((grads.get(name) as Values).length);
    parameters.set(name, tensor(fixture.device, start, shapeOf(name)));
  }
  const setGrads = (step: number) => {
    for (const [name, parameter] of parameters) {
      parameter.gradSlot?.write((grads.get(name) as Values).slice(step * parameter.size, (step + 1) * parameter.size));
      parameter.gradValid = true;
    }
  };
  return { parameters, setGrads };
}

function optimizerOf(attrs: Record<string, unknown>, parameters: Tensor<"f32">[]): Optimizer {
  const lr = (attrs.lr ?? 1e-3) as number;
  const options = { ...attrs, lr, weightDecay: attrs.weight_decay } as unknown as AdamOptions & SGDOptions;
  if (attrs.optimizer === "SGD") return new SGD(parameters, options);
  return attrs.optimizer === "AdamW" ? new AdamW(parameters, options) : new Adam(parameters, options);
}

const stateNames: Record<string, string> = { m: "exp_avg", v: "exp_avg_sq", largest: "max_exp_avg_sq" };

export const kinds: Record<string, Kind> = {
  optimizer: async (fixture) => {
    const { attrs, device } = fixture;
    const { parameters, setGrads } = await leavesOf(fixture, "p0.", (name) => fixture.in(`p0.${name}`).shape);
    const names = [...parameters.keys()];
    const optimizer = optimizerOf(attrs, [...parameters.values()]);
    const history = new Map<string, number[]>(names.map((name) => [name, []]));
    for (let step = 0; step < attrs.steps; step++) {
      if (attrs.lr_list) optimizer.setLr(attrs.lr_list[step]);
      setGrads(step);
      optimizer.step();
      for (const [name, parameter] of parameters) history.get(name)?.push(...((await parameter.data()) as Values));
    }
    const outputs: Record<string, Tensor> = {};
    const state = await optimizer.state();
    let offset = 0;
    for (const [name, parameter] of parameters) {
      outputs[`p.${name}`] = tensor(device, new Float32Array(history.get(name) as number[]), [
        attrs.steps,
        ...parameter.shape,
      ]);
      for (const [key, values] of state) {
        const short = key.split(".")[0] as string;
        const torch = attrs.optimizer === "SGD" ? "momentum_buffer" : stateNames[short];
        if (torch && short !== "control")
          outputs[`state.${torch}.${name}`] = tensor(
            device,
            values.slice(offset, offset + parameter.size),
            parameter.shape,
          );
      }
      offset += Math.ceil(parameter.bytes / 256) * (256 / ELEMENT_BYTES);
    }
    for (const one of [optimizer, ...parameters.values()]) one.dispose();
    return outputs;
  },

  /** A step of plain SGD with learning rate 1 from zero is minus the clipped gradient. */
  clip_grad_norm: async (fixture) => {
    const { attrs, device } = fixture;
    const { parameters, setGrads } = await leavesOf(fixture, "", (name) => fixture.in(`grad.${name}`).shape);
    const normType = attrs.norm_type === "inf" ? Number.POSITIVE_INFINITY : attrs.norm_type;
    const optimizer = new SGD([...parameters.values()], { lr: 1, maxNorm: attrs.max_norm, normType });
    setGrads(0);
    optimizer.step();
    const outputs: Record<string, Tensor> = { total_norm: tensor(device, (await optimizer.report()).gradNorm) };
    for (const [name, parameter] of parameters) {
      outputs[`clipped.${name}`] = tensor(
        device,
        ((await parameter.data()) as Values).map((x) => -x),
        parameter.shape,
      );
    }
    for (const one of [optimizer, ...parameters.values()]) one.dispose();
    return outputs;
  },
};
