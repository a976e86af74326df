import { embedding } from "../../../src/ops/embedding.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  embedding: (fixture) => {
    const { padding_idx } = fixture.attrs;
    return {
      y: embedding(fixture.param("weight"), fixture.in("ids"), padding_idx === null ? {} : { paddingIdx: padding_idx }),
    };
  },
};
