/** What models share whose recurrent form is their parallel form with one step. */
import { noGrad } from "../autograd/mode.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { reshape } from "../ops/reshape.ts";
import { scope } from "../tensor/scope.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Decoder, ForwardOptions, LanguageModel } from "./language.ts";

/**
 * Refuses what such a recurrence cannot run over.
 * @throws ShapeError unless tokens are [B, T] with T of 1 or more
 * @throws ValueError if lengths were given: it would run over padding
 */
export function checkTokens(kind: string, tokens: Tensor, { lengths = null }: ForwardOptions): void {
  if (lengths) {
    throw new ValueError(
      `${kind}: it cannot take texts of different lengths in one batch; feed texts of equal length together, or one at a time`,
    );
  }
  const [, steps = 0] = tokens.shape;
  if (tokens.shape.length !== 2 || steps === 0)
    throw new ShapeError(`${kind}: tokens are ${show(tokens.shape)}; they must be [B, T] token ids, T of 1 or more`);
}

/** The recurrent form: the kernels are those of the parallel form. */
export function stepwiseDecoder(model: LanguageModel): Decoder {
  return {
    step: (tokens, state) =>
      scope(() =>
        noGrad(() => {
          const [batch = 0] = tokens.shape;
          const { logits, state: next } = model.forward(reshape(tokens, [batch, 1]), state);
          return { logits: reshape(logits, [batch, model.config.vocabSize]), state: next };
        }),
      ),
    dispose: () => {},
  };
}
