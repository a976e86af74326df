import { retention } from "../../../src/ops/retention/retention.ts";
import { permute } from "../../../src/ops/transpose.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { scope } from "../../../src/tensor/scope.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  retention: async (fixture) => {
    const gamma = await fixture.in("gamma").data();
    return scope(() => {
      // The fixtures hold heads before time.
      const [q, k, v] = ["q", "k", "v"].map((name) => permute(fixture.in(name), [0, 2, 1, 3]));
      const logs = tensor(
        fixture.device,
        Float32Array.from(gamma, (g) => Math.log(g)),
      );
      const { y, state } = retention(q!, k!, v!, logs, fixture.attrs.given_state ? fixture.in("s0") : null);
      return { out: permute(y, [0, 2, 1, 3]), sT: state };
    });
  },
};
