import { halfBits, toFloat32 } from "../io/convert.ts";
import type { FileTensor } from "../io/format.ts";
import type { HostTensor, StateDict } from "../nn/module.ts";
import type { Shape } from "../tensor/shape.ts";

/** A state dict whose values are read from a file when they are asked for, one tensor at a time. */
export type FileState = StateDict;

/**
 * The tensors of a file as a state dict, for `loadStateDict` of a module. Nothing is copied: f32 values are views of the file
 * where they are aligned, and halves are widened one tensor at a time, when they are asked for.
 *
 * @example
 * lstm.loadStateDict(hostTensors(parsePyTorch(file).tensors));
 *
 * @param tensors of `parseSafetensors` or `parsePyTorch`, in any shape; leave the file as it is
 */
export function hostTensors(tensors: ReadonlyMap<string, FileTensor>): FileState {
  return new Map([...tensors].map(([name, tensor]) => [name, hostTensor(tensor, name)]));
}

function hostTensor(tensor: FileTensor, name: string): HostTensor {
  return {
    shape: tensor.shape,
    get values() {
      return toFloat32(tensor, name);
    },
    get halves() {
      return halfBits(tensor);
    },
  };
}

/** The same values in another shape, read when they are asked for. */
export function reshaped(value: HostTensor, shape: Shape): HostTensor {
  return {
    shape,
    get values() {
      return value.values;
    },
    get halves() {
      return value.halves;
    },
  };
}

/** The transposed matrix, computed when its values are read. */
export function transposed(matrix: HostTensor): HostTensor {
  const [rows, columns] = matrix.shape as readonly [number, number];
  return {
    shape: [columns, rows],
    get values() {
      const { values } = matrix;
      return turned(values, new Float32Array(values.length), columns);
    },
    get halves() {
      const { halves } = matrix;
      return halves && turned(halves, new Uint16Array(halves.length), columns);
    },
  };
}

type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

function turned<T extends Values>(values: T, result: T, columns: number): T {
  const rows = values.length / columns;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = values[row * columns + column] as number;
  return result;
}
