import { GRU, LSTM, type Recurrent, type RecurrentModuleOptions, RNN } from "../../../src/nn/rnn.ts";
import { scope } from "../../../src/tensor/scope.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { FixtureCase, Kind } from "../kind.ts";

const make: Record<
  string,
  (device: FixtureCase["device"], options: RecurrentModuleOptions & { projSize: number }) => Recurrent
> = {
  RNN_TANH: (device, options) => new RNN(device, options),
  RNN_RELU: (device, options) => new RNN(device, { ...options, nonlinearity: "relu" }),
  GRU: (device, options) => new GRU(device, options),
  LSTM: (device, options) => new LSTM(device, options),
};

/** Puts the fixture's parameters, whose gradients are compared, in the place of the module's own. */
function adopt(module: Recurrent, fixture: FixtureCase): void {
  const names = new Set([...module.namedParameters()].map(([name]) => `param.${name}`));
  const wanted = fixture.names.filter((name) => name.startsWith("param."));
  if (names.size !== wanted.length || !wanted.every((name) => names.has(name))) {
    throw new Error(`the parameters are ${[...names].join(", ")} instead of ${wanted.join(", ")}`);
  }
  module.dispose();
  module.layers.forEach((directions, layer) => {
    directions.forEach((weights, d) => {
      const get = (name: string): Tensor | null => {
        const full = `${name}_l${layer}${d === 1 ? "_reverse" : ""}`;
        return fixture.has(`param.${full}`) ? fixture.param(full) : null;
      };
      Object.assign(weights, {
        weightIh: get("weight_ih"),
        weightHh: get("weight_hh"),
        biasIh: get("bias_ih"),
        biasHh: get("bias_hh"),
        weightHr: get("weight_hr"),
      });
    });
  });
}

export const kinds: Record<string, Kind> = {
  rnn: (fixture) => {
    const { attrs } = fixture;
    const module = make[attrs.mode]!(fixture.device, {
      inputSize: attrs.input_size,
      hiddenSize: attrs.hidden_size,
      numLayers: attrs.num_layers,
      projSize: attrs.proj_size,
      bias: attrs.bias,
      batchFirst: attrs.batch_first,
      bidirectional: attrs.bidirectional,
    });
    adopt(module, fixture);
    const given = (name: string) => (fixture.has(`in.${name}`) ? (fixture.in(name) as Tensor<"f32">) : null);
    const h0 = given("h0");
    const before = h0 && { h: h0, c: given("c0") };
    const lengths = fixture.has("in.lengths") ? fixture.in("lengths") : null;
    return scope(() => {
      const { output, state } = module.forward(fixture.in("x"), before, { lengths });
      return { y: output, h_n: state.h, ...(state.c && { c_n: state.c }) };
    });
  },
};
