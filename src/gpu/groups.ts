import { ValueError } from "./errors.ts";

/** Workgroups along x, y and z; a lone x over 65,535 is folded into y. */
export type Groups = readonly [x: number, y?: number, z?: number];

/**
 * Three counts that a device takes.
 * @param most workgroups a dimension
 * @param what the kernel, for the error
 * @throws ValueError if they are too many
 */
export function fold(groups: Groups, most: number, what: string): [number, number, number] {
  let [x, y = 1, z = 1] = groups;
  if (x > most && y === 1) {
    y = Math.ceil(x / most);
    x = Math.ceil(x / y);
  }
  if (x > most || y > most || z > most) {
    throw new ValueError(
      `${what}: ${groups.join(" x ")} workgroups exceed the device's ${most} a dimension; use smaller tensors`,
    );
  }
  return [x, y, z];
}
