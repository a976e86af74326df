/** What a hand-written register tile of a matrix product reaches: the yardstick of the products. */
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { empty } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import type { Line } from "../line.ts";
import { input } from "../suite/inputs.ts";

export interface TileKernels {
  readonly tile: Kernel;
  readonly tile_subgroup: Kernel;
}

/** K of the panels, and how much of it the form in workgroup memory holds. */
const DEPTH = 64;
const HELD = 16;

/** Workgroups, and turns through the panels. */
const sizesFor = (software: boolean) => (software ? { groups: 16, loops: 16 } : { groups: 2048, loops: 64 });

interface Form {
  readonly name: keyof TileKernels;
  readonly entry: "direct" | "staged";
  /** Rows and columns of a workgroup's results. */
  readonly side: 32 | 128;
}

/** A line for each way that suits the device; the fastest counts. */
export function tileLines(kernels: TileKernels, device: Pick<Device, "software" | "has">): Line[] {
  const forms: Form[] = [{ name: "tile", entry: "direct", side: 32 }];
  if (device.has("subgroups")) forms.push({ name: "tile_subgroup", entry: "direct", side: 32 });
  // An emulation's workgroup memory is no faster than its storage.
  if (!device.software) forms.push({ name: "tile", entry: "staged", side: 128 });
  const { groups, loops } = sizesFor(device.software);
  return forms.map(({ name, entry, side }) => {
    const size = groups * side * side;
    return {
      name: `roofline/${name}/${entry}`,
      flops: 2 * size * DEPTH * loops,
      bytes: 4 * size,
      prepare(device) {
        const random = new Random(1);
        const a = input(device, random, [side, DEPTH]);
        const b = input(device, random, [DEPTH, side]);
        return {
          inputs: [a.on, b.on],
          run() {
            const y = empty(device, [groups, side, side]);
            device.dispatch(kernels[name], entry, { a: a.on, b: b.on, y }, { loops } as never, [groups]);
            return [y];
          },
          expected: () => [tileResults(a.values, b.values, { entry, side, groups, loops })],
        };
      },
    };
  });
}

/** `direct` has a in rows along K, `staged` has both operands in rows along M and N and goes through HELD of K. */
function tileResults(
  a: Float32Array,
  b: Float32Array,
  { entry, side, groups, loops }: Pick<Form, "entry" | "side"> & { groups: number; loops: number },
): Float64Array {
  const depth = entry === "direct" ? DEPTH : HELD;
  const y = new Float64Array(groups * side * side);
  for (let m = 0; m < side; m++)
    for (let n = 0; n < side; n++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        const left = entry === "direct" ? a[m * DEPTH + k] : a[k * side + m];
        sum += (left as number) * (b[k * side + n] as number);
      }
      y[m * side + n] = sum * loops * (DEPTH / depth);
    }
  for (let group = 1; group < groups; group++) y.copyWithin(group * side * side, 0, side * side);
  return y;
}
