/** One step of an optimizer over all parameters, whose number is what an engine with a launch for each would pay for. */
import type { Device } from "../../src/gpu/device.ts";
import { Adam } from "../../src/optim/adam.ts";
import type { Optimizer } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import type { Random } from "../../src/tensor/philox.ts";
import type { Line } from "../line.ts";
import { input, words } from "./inputs.ts";

const LR = 1e-2;
const MAX_NORM = 1;
const MOMENTUM = 0.9;

/** `count` parameters with gradients, clipped by the norm of all together, and where the first step leaves them. */
function line(name: "adam" | "sgd", count: number, size: number, bytes: number): Line {
  const make = (parameters: readonly ReturnType<typeof input>["on"][]): Optimizer =>
    name === "adam"
      ? new Adam(parameters, { lr: LR, maxNorm: MAX_NORM })
      : new SGD(parameters, { lr: LR, momentum: MOMENTUM, maxNorm: MAX_NORM });
  return {
    name: `optimizer/${name}/${count}x${size}`,
    flops: (name === "adam" ? 12 : 6) * count * size,
    bytes: words(bytes * count * size),
    prepare(device: Device, random: Random) {
      const all = Array.from({ length: count }, () => input(device, random, [size]));
      const gradients = all.map(() => random.fillUniform(new Float32Array(size), -1, 1));
      const parameters = all.map(({ on }) => on);
      for (const parameter of parameters) parameter.requiresGrad = true;
      const optimizer = make(parameters);
      parameters.forEach((parameter, i) => {
        parameter.gradSlot?.write(gradients[i]!);
        parameter.gradValid = true;
      });
      return {
        inputs: parameters,
        run() {
          optimizer.step();
          return parameters;
        },
        expected() {
          const norm = Math.hypot(...gradients.map((gradient) => Math.hypot(...gradient)));
          const factor = Math.min(1, MAX_NORM / (norm + 1e-6));
          return all.map(({ values }, i) =>
            Float64Array.from(values, (value, j) => {
              const g = gradients[i]![j]! * factor;
              return value - LR * (name === "adam" ? g / (Math.abs(g) + 1e-8) : g);
            }),
          );
        },
        keeps: parameters,
        dispose: () => optimizer.dispose(),
      };
    },
  };
}

export const lines: readonly Line[] = [line("adam", 64, 16384, 8), line("sgd", 64, 16384, 6)];
