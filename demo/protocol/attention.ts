/** What one way of computing attention took. */
export interface AttentionCost {
  readonly milliseconds: number;
  /** Memory beyond queries, keys and values, at its peak. */
  readonly bytes: number;
}

/** Attention over one text, computed in both ways. */
export interface AttentionPoint {
  readonly tokens: number;
  /** Stores the matrix of all scores. */
  readonly stored: AttentionCost;
  /** Goes through the keys tile by tile. */
  readonly tiled: AttentionCost;
  /** Largest difference between the two results, whose elements are around 1. */
  readonly difference: number;
}

export interface AttentionCalls {
  /** Measures both ways over longer and longer texts, until stopped; training waits meanwhile. */
  measureAttention(): null;
  stopAttention(): null;
}

export type AttentionEvent = { readonly kind: "attentionMeasured"; readonly point: AttentionPoint };
