import { attentionWithLse } from "../../../src/ops/attention/attention.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  attention: (fixture) => {
    const { causal, window_left, window_right, scale, key_mask } = fixture.attrs;
    return {
      ...attentionWithLse(fixture.in("q"), fixture.in("k"), fixture.in("v"), {
        causal,
        window: [window_left, window_right],
        scale,
        ...(key_mask && { keyMask: fixture.in("key_mask") }),
      }),
    };
  },
};
