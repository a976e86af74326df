import { linear } from "../../../src/ops/linear.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  linear: (fixture) => ({
    y: linear(fixture.in("x"), fixture.param("weight"), fixture.has("param.bias") ? fixture.param("bias") : null),
  }),
};
