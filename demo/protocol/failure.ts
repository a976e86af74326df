/**
 * What went wrong, in a sentence for the visitor. After `unavailable` and `lost` there is no device; `refused` is
 * a request that cannot be met, and everything else stays as it was; `internal` is a fault of the page.
 */
export interface Failure {
  readonly kind: "unavailable" | "lost" | "refused" | "internal";
  /** For `unavailable`: what is missing. */
  readonly reason?: string;
  readonly sentence: string;
}
