import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  cross_entropy: (fixture) => {
    const { ignore_index, label_smoothing, reduction, class_weight } = fixture.attrs;
    return {
      loss: crossEntropy(fixture.in("logits"), fixture.in("targets"), {
        ignoreIndex: ignore_index,
        labelSmoothing: label_smoothing,
        reduction,
        ...(class_weight && { classWeight: fixture.in("class_weight") }),
      }),
    };
  },
};
