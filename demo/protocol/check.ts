import type { CheckResult } from "../../src/check/selfCheck.ts";

export type { CheckResult } from "../../src/check/selfCheck.ts";

export interface CheckReport {
  readonly results: readonly CheckResult[];
  /** The results as a Markdown table, to be copied. */
  readonly table: string;
}

export interface CheckCalls {
  /** Runs every kernel on the device and compares with float64; training waits meanwhile. */
  checkGpu(): CheckReport;
  stopCheck(): null;
}

export type CheckEvent = {
  readonly kind: "checked";
  readonly result: CheckResult;
  readonly done: number;
  readonly total: number;
};
