import { causalConv1d } from "../../../src/ops/scan/conv.ts";
import { selectiveScan } from "../../../src/ops/scan/scan.ts";
import { ssd } from "../../../src/ops/scan/ssd.ts";
import { permute } from "../../../src/ops/transpose.ts";
import { scope } from "../../../src/tensor/scope.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Kind } from "../kind.ts";

/** The fixtures hold channels before time. */
const turned = (x: Tensor): Tensor => permute(x, [0, 2, 1]);

export const kinds: Record<string, Kind> = {
  causal_conv1d: (fixture) =>
    scope(() => {
      const { y } = causalConv1d(turned(fixture.in("x")), fixture.param("weight"), { bias: fixture.param("bias") });
      return { y: turned(y) };
    }),
  selective_scan: (fixture) =>
    scope(() => {
      const given = (name: string) => (fixture.has(`in.${name}`) ? fixture.in(name) : null);
      const z = given("z");
      const matrix = (name: string) => {
        const x = fixture.in(name);
        return x.shape.length === 4 ? permute(x, [0, 3, 1, 2]) : turned(x);
      };
      const { y, state } = selectiveScan(
        turned(fixture.in("u")),
        turned(fixture.in("delta")),
        fixture.in("A"),
        matrix("B"),
        matrix("C"),
        {
          D: given("D"),
          z: z && turned(z),
          deltaBias: given("delta_bias"),
          deltaSoftplus: fixture.attrs.delta_softplus,
          state: given("h0"),
        },
      );
      return { y: turned(y), hT: state };
    }),
  ssd: (fixture) =>
    scope(() => {
      const [x, dt, A, B, C] = ["x", "dt", "A", "B", "C"].map((name) => fixture.in(name)) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const given = (name: string) => (fixture.has(`in.${name}`) ? fixture.in(name) : null);
      const { y, state } = ssd(x, dt, A, B, C, { D: given("D"), state: given("h0") });
      return { y, hT: state };
    }),
};
