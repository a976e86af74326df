import { type Activation, activate } from "../../../src/ops/unary.ts";
import type { Kind } from "../kind.ts";

const names: Record<string, Activation> = {
  exp: "exp",
  gelu: "gelu",
  gelu_tanh: "geluTanh",
  logsigmoid: "logSigmoid",
  relu: "relu",
  relu_squared: "reluSquared",
  sigmoid: "sigmoid",
  silu: "silu",
  softplus: "softplus",
  tanh: "tanh",
};

export const kinds: Record<string, Kind> = {
  activation: (fixture) => {
    const name = names[fixture.attrs.fn];
    if (!name) throw new Error(`no activation is called ${fixture.attrs.fn}`);
    return { y: activate(fixture.in("x"), name) };
  },
};
