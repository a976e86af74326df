import { argmax } from "../../ops/argmax.ts";
import { cast } from "../../ops/cast.ts";
import { concat } from "../../ops/concat.ts";
import { expand } from "../../ops/expand.ts";
import { gather, indexSelect } from "../../ops/gather.ts";
import { max, mean, min, sum } from "../../ops/reduce.ts";
import { slice } from "../../ops/slice.ts";
import { permute, transpose } from "../../ops/transpose.ts";
import { tensor } from "../../tensor/create.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { at, broadcast, indexOf, numbers, type Ref, reduceRef, ref } from "../reference.ts";

const SHAPE = [3, 17, 5];
const x = numbers(SHAPE, -2, 2, 1);

const add = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const largest = (values: readonly number[]) => Math.max(...values);

function permuted(x: Ref, order: readonly number[]): Ref {
  const shape = order.map((axis) => x.shape[axis] as number);
  return ref(shape, (i) => {
    const to = indexOf(i, shape);
    return at(
      x,
      x.shape.map((_, axis) => to[order.indexOf(axis)] as number),
    );
  });
}

const picks = [4, 0, 0, 2];

export const shapes: readonly Check[] = [
  differentiated(
    "sum, mean",
    [x],
    () => (x) => joined(sum(x!, [0, 2]), mean(x!, 1), sum(x!)),
    (x) => {
      const all = [reduceRef(x!, [0, 2], add), reduceRef(x!, [1], (v) => add(v) / 17), reduceRef(x!, [0, 1, 2], add)];
      return ref(
        [17 + 15 + 1],
        all.flatMap(({ data }) => [...data]),
      );
    },
  ),
  differentiated(
    "max, min",
    [x],
    () => (x) => joined(max(x!, 1), min(x!, 2)),
    (x) => {
      const all = [reduceRef(x!, [1], largest), reduceRef(x!, [2], (v) => Math.min(...v))];
      return ref(
        [15 + 51],
        all.flatMap(({ data }) => [...data]),
      );
    },
  ),
  forwardOnly(
    "argmax",
    [x],
    () => (x) => cast(argmax(x!), "f32"),
    (x) => ref([3, 17], reduceRef(x!, [2], (v) => v.indexOf(largest(v))).data),
  ),
  differentiated(
    "gather, indexSelect",
    [numbers([3, 5], -2, 2, 2)],
    (device) => (x) => {
      const ids = tensor(device, [1, 4, 2, 0, 3, 3], [3, 2], "u32");
      return joined(gather(x!, 1, ids), indexSelect(x!, 1, tensor(device, picks, [4], "u32")));
    },
    (x) => {
      const one = [1, 4, 2, 0, 3, 3].map((id, i) => at(x!, [i >> 1, id]));
      const two = [0, 1, 2].flatMap((row) => picks.map((id) => at(x!, [row, id])));
      return ref([18], [...one, ...two]);
    },
  ),
  differentiated(
    "slice, concat",
    [x, numbers([3, 2, 5], -2, 2, 3)],
    () => (x, y) => concat([slice(x!, 1, 3, 9), y!, slice(x!, 1, 0, 1)], 1),
    (x, y) =>
      ref([3, 9, 5], (i) => {
        const [b, t, c] = indexOf(i, [3, 9, 5]) as [number, number, number];
        if (t < 6) return at(x!, [b, t + 3, c]);
        return t < 8 ? at(y!, [b, t - 6, c]) : at(x!, [b, 0, c]);
      }),
  ),
  differentiated(
    "expand",
    [numbers([3, 1, 5], -2, 2, 4)],
    () => (x) => expand(x!, [2, 3, 4, 5]),
    (x) =>
      broadcast(
        (value) => value!,
        x!,
        ref([2, 3, 4, 5], () => 0),
      ),
  ),
  differentiated(
    "permute",
    [x],
    () => (x) => permute(x!, [2, 0, 1]),
    (x) => permuted(x!, [2, 0, 1]),
  ),
  differentiated(
    "transpose",
    [numbers([33, 65], -2, 2, 5)],
    () => (x) => transpose(x!),
    (x) => permuted(x!, [1, 0]),
  ),
];
