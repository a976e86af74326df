import { concat } from "../../../src/ops/concat.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { split } from "../../../src/ops/slice.ts";
import { wkv4 } from "../../../src/ops/wkv/wkv4.ts";
import { wkv5, wkv6 } from "../../../src/ops/wkv/wkv6.ts";
import { wkv7 } from "../../../src/ops/wkv/wkv7.ts";
import { scope } from "../../../src/tensor/scope.ts";
import type { FixtureCase, Kind } from "../kind.ts";

const given = (fixture: FixtureCase) => (fixture.attrs.given_state ? fixture.in("s0") : null);

export const kinds: Record<string, Kind> = {
  wkv4: (fixture) =>
    scope(() => {
      const { B, C, given_state } = fixture.attrs;
      const before = given_state
        ? concat(["aa", "bb", "pp"].map((name) => reshape(fixture.in(name), [1, B, C])))
        : null;
      const { y, state } = wkv4(
        fixture.param("time_decay"),
        fixture.param("time_first"),
        fixture.in("k"),
        fixture.in("v"),
        before,
      );
      const [aa, bb, pp] = split(state, [1, 1, 1], 0);
      return { y, aa: aa!, bb: bb!, pp: pp! };
    }),
  wkv5: (fixture) => {
    const [r, k, v] = ["r", "k", "v"].map((name) => fixture.in(name));
    const { y, state } = wkv5(r!, k!, v!, fixture.param("w"), fixture.param("u"), given(fixture));
    return { y, sT: state };
  },
  wkv6: (fixture) => {
    const [r, k, v, w] = ["r", "k", "v", "w"].map((name) => fixture.in(name));
    const { y, state } = wkv6(r!, k!, v!, w!, fixture.param("u"), given(fixture));
    return { y, sT: state };
  },
  wkv7: (fixture) => {
    const [r, w, k, v, a, b] = ["r", "w", "k", "v", "a", "b"].map((name) => fixture.in(name));
    const { y, state } = wkv7(r!, w!, k!, v!, a!, b!, given(fixture));
    return { y, sT: state };
  },
};
