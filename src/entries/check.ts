/**
 * A device's kernels beside float64: the self-check, and the means to check an operation of one's own.
 * @module ostinato/check
 */
// Public names only; nothing inside src imports this file.
export { type Check, differentiated, forwardOnly } from "../check/check.ts";
export type { CompareOptions, Comparison } from "../check/compare.ts";
export { numbers, type Ref, ref } from "../check/reference.ts";
export { type CheckResult, checks, checkTable, type SelfCheckOptions, selfCheck } from "../check/selfCheck.ts";
