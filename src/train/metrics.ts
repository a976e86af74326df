/** Perplexity of a mean cross-entropy in nats. */
export const perplexity = (loss: number): number => Math.exp(loss);

/** Bits a token: for a character-level model, bits a character. */
export const bitsPerToken = (loss: number): number => loss / Math.LN2;
