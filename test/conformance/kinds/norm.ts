import { groupNorm, layerNorm, rmsNorm } from "../../../src/ops/norm.ts";
import type { FixtureCase, Kind } from "../kind.ts";

const optional = (fixture: FixtureCase, name: string) => (fixture.has(`param.${name}`) ? fixture.param(name) : null);

export const kinds: Record<string, Kind> = {
  layernorm: (fixture) => ({
    y: layerNorm(fixture.in("x"), optional(fixture, "weight"), optional(fixture, "bias"), fixture.attrs.eps),
  }),
  rmsnorm: (fixture) => ({ y: rmsNorm(fixture.in("x"), optional(fixture, "weight"), fixture.attrs.eps) }),
  groupnorm: (fixture) => ({
    y: groupNorm(
      fixture.in("x"),
      fixture.attrs.groups,
      optional(fixture, "weight"),
      optional(fixture, "bias"),
      fixture.attrs.eps,
    ),
  }),
};
