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
/** Invocations of a workgroup of `direct`, along the columns and the rows. */
const GROUP = { columns: 8, rows: 4 };

interface Form {
  readonly name: keyof TileKernels;
  readonly entry: string;
  /** Rows and columns of a workgroup's results. */
  readonly rows: number;
  readonly columns: number;
  /** Elements of K that it goes through in turn. */
  readonly depth: number;
}

/** `direct8x4` holds 8 rows and 4 columns an invocation. */
function formOf(name: keyof TileKernels, entry: string): Form {
  const direct = /^direct(\d+)x(\d+)$/.exec(entry);
  if (!direct) return { name, entry, rows: 128, columns: 128, depth: HELD };
  const [rows, columns] = [GROUP.rows * Number(direct[1]), GROUP.columns * Number(direct[2])];
  return { name, entry, rows, columns, depth: DEPTH };
}

/** A line for each way that suits the device; the fastest counts. */
export function tileLines(kernels: TileKernels, device: Pick<Device, "software" | "has">): Line[] {
  const names = (["tile", "tile_subgroup"] as const).filter((name) => name === "tile" || device.has("subgroups"));
  const forms = names.flatMap((name) => Object.keys(kernels[name].entries).map((entry) => formOf(name, entry)));
  return forms
    .filter(({ depth }) => depth === DEPTH || !device.software) // an emulation's workgroup memory is no faster than its storage
    .map((form) => tileLine(kernels, form, device.software));
}

/** Workgroups, and turns through the panels: as much arithmetic for every form. */
function sizesOf({ rows, columns }: Form, software: boolean) {
  const share = (32 * 32) / (rows * columns);
  const groups = software ? 16 : 2048;
  return { groups, loops: Math.max(1, Math.round((software ? 16 : 64) * share)) };
}

function tileLine(kernels: TileKernels, form: Form, software: boolean): Line {
  const { name, entry, rows, columns } = form;
  const { groups, loops } = sizesOf(form, software);
  const size = groups * rows * columns;
  return {
    name: `roofline/${name}/${entry}`,
    flops: 2 * size * DEPTH * loops,
    bytes: 4 * size,
    prepare(device) {
      const random = new Random(1);
      const a = input(device, random, [rows, DEPTH]);
      const b = input(device, random, [DEPTH, columns]);
      return {
        inputs: [a.on, b.on],
        run() {
          const y = empty(device, [groups, rows, columns]);
          device.dispatch(kernels[name], entry, { a: a.on, b: b.on, y }, { loops } as never, [groups]);
          return [y];
        },
        expected: () => [tileResults(a.values, b.values, form, groups, loops)],
      };
    },
  };
}

/** `direct` has a in rows along K, `staged` has both operands in rows along M and N and goes through HELD of K. */
function tileResults(
  a: Float32Array,
  b: Float32Array,
  { rows, columns, depth }: Form,
  groups: number,
  loops: number,
): Float64Array {
  const y = new Float64Array(groups * rows * columns);
  for (let m = 0; m < rows; m++)
    for (let n = 0; n < columns; n++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        const left = depth === DEPTH ? a[m * DEPTH + k] : a[k * rows + m];
        sum += (left as number) * (b[k * columns + n] as number);
      }
      y[m * columns + n] = sum * loops * (DEPTH / depth);
    }
  const one = rows * columns;
  for (let group = 1; group < groups; group++) y.copyWithin(group * one, 0, one);
  return y;
}
