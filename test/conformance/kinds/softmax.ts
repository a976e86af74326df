import { logSoftmax, softmax } from "../../../src/ops/softmax.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  softmax: (fixture) => ({ y: softmax(fixture.in("x"), fixture.attrs.dim) }),
  log_softmax: (fixture) => ({ y: logSoftmax(fixture.in("x"), fixture.attrs.dim) }),
};
