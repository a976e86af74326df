export { at, broadcast, indexOf, numbers, type Ref, reduceRef, ref } from "../../src/check/reference.ts";

/** Sizes at which vectors, workgroups and tiles begin, end and leave a rest. */
export const ODD_SIZES = [0, 1, 2, 3, 7, 17, 33, 65, 127, 257] as const;
