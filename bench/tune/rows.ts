/** Softmax and layer norm with knobs of the tuner's choice, as lines of the bench. */
import normKernel from "../../kernels/norm/norm.wgsl";
import softmaxKernel from "../../kernels/softmax/softmax.wgsl";
import type { Device } from "../../src/gpu/device.ts";
import { planNorm } from "../../src/ops/norm.ts";
import { launchRows } from "../../src/ops/rows.ts";
import type { RowKnobs } from "../../src/ops/tuned.ts";
import { empty } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Line } from "../line.ts";
import { input, words } from "../suite/inputs.ts";
import { normalised, probabilities } from "../suite/rows.ts";

const EPS = 1e-5;

/** Rows of so many elements, through the kernel as the operations launch it. */
export function rowsLine(what: "softmax" | "norm", rows: number, length: number, own: RowKnobs): Line {
  return {
    name: `rows.${what} ${JSON.stringify(own)} ${rows}x${length}`,
    flops: 5 * rows * length,
    bytes: words(2 * rows * length),
    prepare(device, random) {
      const x = input(device, random, [rows, length], -4, 4);
      const launch = what === "softmax" ? launchSoftmax : launchNorm;
      return {
        inputs: [x.on],
        run() {
          const y = empty(device, [rows, length]);
          launch(device, x.on, y, own);
          return [y];
        },
        expected: () => {
          const y = new Float64Array(x.values.length);
          for (let at = 0; at < y.length; at += length) {
            const row = Float64Array.from(x.values.subarray(at, at + length));
            y.set(what === "softmax" ? probabilities(row) : normalised(row, EPS), at);
          }
          return [y];
        },
      };
    },
  };
}

function launchSoftmax(device: Device, x: Tensor, y: Tensor, own: RowKnobs): void {
  const [rows = 0, length = 0] = x.shape;
  const { words, groups, knobs } = launchRows(device, rows, length, length % 4 === 0, own);
  device.dispatch(softmaxKernel, "forward", { x, y }, { rows, words, inner: 1 }, groups, knobs);
}

function launchNorm(device: Device, x: Tensor, y: Tensor, own: RowKnobs): void {
  const [rows = 0, length = 0] = x.shape;
  const sizes = { samples: rows, groups: 1, channels: length, inner: 1 };
  const { params, groups, knobs } = planNorm(x, sizes, EPS, own);
  const stats = empty(device, [rows, 2]);
  const flags = { ...knobs, WEIGHT: false, BIAS: false };
  device.dispatch(normKernel, "forward", { x, update: x, weight: x, bias: x, y, stats }, params, groups, flags);
  stats.dispose();
}
