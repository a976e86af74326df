import { FileError } from "../../gpu/errors.ts";
import { DTYPE_BYTES, type FileDType, type FileTensor, quoted } from "../format.ts";
import { globalName, type Opaque, type PickleHooks, type PickleValue } from "./pickle.ts";

/** Storage classes of torch by their name in a pickle. */
const STORAGES: ReadonlyMap<string, FileDType> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.DoubleStorage", "F64"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
]);

const TENSOR = "torch._utils._rebuild_tensor_v2";
const PARAMETER = "torch._utils._rebuild_parameter";
const DICT = "collections.OrderedDict";
const SIZE = "torch.Size";

function fail(code: string, message: string): never {
  throw new FileError(code, `pytorch: ${message}`);
}

/** Memory that tensors share. */
class StorageRecord implements Opaque {
  readonly opaque = "storage";
  readonly dtype: FileDType;
  readonly elements: number;
  /** Empty if only the shapes are asked for. */
  readonly data: Uint8Array<ArrayBuffer>;
  constructor(dtype: FileDType, elements: number, data: Uint8Array<ArrayBuffer>) {
    this.dtype = dtype;
    this.elements = elements;
    this.data = data;
  }
}

/** A window of a storage; contiguous ones are views of the file, others are gathered when their data are asked for. */
export class StridedTensor implements Opaque, FileTensor {
  readonly opaque = "tensor";
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  private readonly storage: Uint8Array<ArrayBuffer>;
  /** Elements from the start of the storage. */
  private readonly offset: number;
  private readonly strides: readonly number[];

  constructor({ dtype, data }: StorageRecord, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.dtype = dtype;
    this.storage = data;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }

  get data(): Uint8Array<ArrayBuffer> {
    const { shape, strides } = this;
    const width = DTYPE_BYTES[this.dtype];
    const size = shape.reduce((product, n) => product * n, 1);
    const begin = this.offset * width;
    if (size === 0) return this.storage.subarray(0, 0);
    if (isContiguous(shape, strides)) return this.storage.subarray(begin, begin + size * width);
    const gathered = new Uint8Array(size * width);
    const index = shape.map(() => 0);
    let from = begin;
    for (let to = 0; to < gathered.length; to += width) {
      for (let byte = 0; byte < width; byte++) gathered[to + byte] = this.storage[from + byte] as number;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const [n, stride] = [shape[axis] as number, (strides[axis] as number) * width];
        from += stride;
        index[axis] = (index[axis] as number) + 1;
        if ((index[axis] as number) < n) break;
        from -= n * stride;
        index[axis] = 0;
      }
    }
    return gathered;
  }
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis] as number;
    if (n !== 1 && strides[axis] !== step) return false;
    step *= n;
  }
  return true;
}

/** Finds a storage's bytes by its key. */
type Records = (key: string) => Uint8Array<ArrayBuffer> | undefined;

/**
 * What the pickle of torch.save means, over the records `data/0`, `data/1`, ... of its zip file.
 * @param record null if only the shapes are asked for; tensors have no data then
 */
export function torchHooks(record: Records | null): PickleHooks {
  return {
    globals: new Set([...STORAGES.keys(), TENSOR, PARAMETER, DICT, SIZE]),
    call: (name, args) => {
      switch (name) {
        case TENSOR:
          return rebuild(args);
        case PARAMETER: {
          const [tensor] = args;
          return tensor instanceof StridedTensor ? tensor : fail("pytorch-tensor", "a parameter holds no tensor");
        }
        case DICT:
          return args.length === 0 ? new Map() : fail("pytorch-dict", "an OrderedDict is made of arguments");
        case SIZE:
          return args[0] ?? [];
        default:
          return fail("pickle-global", `the file calls ${quoted(name)}, which is a class of storages`);
      }
    },
    persistent: (id) => storageOf(id, record),
  };
}

/** ("storage", class, key, device, elements) */
function storageOf(id: PickleValue, record: Records | null): StorageRecord {
  const [kind, type, key, , elements] = Array.isArray(id) ? id : [];
  const dtype = STORAGES.get(globalName(type) ?? "");
  if (kind !== "storage" || !dtype || typeof key !== "string" || !isCount(elements))
    return fail(
      "pytorch-storage",
      "a tensor's storage is described in a way that torch.save does not; save it again with that",
    );
  if (!record) return new StorageRecord(dtype, elements, new Uint8Array(0));
  const data = record(key);
  if (!data)
    return fail("pytorch-storage", `the file has no record data/${key}; it is not all there, so load it again`);
  const bytes = elements * DTYPE_BYTES[dtype];
  if (data.length < bytes)
    fail(
      "pytorch-storage",
      `the record data/${key} has ${data.length} bytes, but ${elements} elements of ${dtype} are ${bytes}`,
    );
  return new StorageRecord(dtype, elements, data.subarray(0, bytes));
}

/** (storage, offset, size, stride, requires_grad, backward_hooks) */
function rebuild([storage, offset, shape, strides]: PickleValue[]): StridedTensor {
  if (!(storage instanceof StorageRecord) || !isCount(offset) || !isCounts(shape) || !isCounts(strides))
    return fail("pytorch-tensor", "a tensor's offset, sizes or strides are no whole numbers of 0 or more");
  if (shape.length !== strides.length)
    fail("pytorch-tensor", `a tensor has ${shape.length} sizes, but ${strides.length} strides`);
  const size = shape.reduce((product, n) => product * n, 1);
  const held = storage.elements;
  const last = shape.reduce((sum, n, axis) => sum + (n - 1) * (strides[axis] as number), offset);
  if (size > held || (size > 0 && last >= held))
    fail(
      "pytorch-tensor",
      `a tensor of ${shape.length} axes with ${size} elements reaches past its storage of ${held}; the file is damaged, or the tensor was expanded: call contiguous() before saving`,
    );
  return new StridedTensor(storage, offset, shape, strides);
}

const isCount = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

const isCounts = (value: PickleValue | undefined): value is number[] => Array.isArray(value) && value.every(isCount);
