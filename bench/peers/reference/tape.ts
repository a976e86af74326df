/** Reverse-mode differentiation in float64: slow, obvious, and independent of every engine. */

export type Shape = readonly number[];
const sizeOf = (shape: Shape) => shape.reduce((product, n) => product * n, 1);

/** Values in the order they were made; backward walks it the other way. */
let tape: Value[] = [];

export class Value {
  readonly shape: Shape;
  readonly data: Float64Array;
  /** Hands the gradient of this value on to what it was made from. */
  readonly back: ((grad: Float64Array) => void) | null;
  private slot: Float64Array | null = null;

  constructor(shape: Shape, data: Float64Array, back: ((grad: Float64Array) => void) | null = null) {
    this.shape = shape;
    this.data = data;
    this.back = back;
    if (back) tape.push(this);
  }

  /** Zeros until something was added to it. */
  get grad(): Float64Array {
    this.slot ??= new Float64Array(this.data.length);
    return this.slot;
  }

  get reached(): boolean {
    return this.slot !== null;
  }

  forgetGrad(): void {
    this.slot = null;
  }
}

export function leaf({ shape, data }: { readonly shape: Shape; readonly data: ArrayLike<number> }): Value {
  return new Value(shape, Float64Array.from(data));
}

export function zeros(shape: Shape, value = 0): Value {
  return new Value(shape, new Float64Array(sizeOf(shape)).fill(value));
}

export function forgetTape(): void {
  tape = [];
}

export function backward(of: Value, grad: ArrayLike<number>): void {
  of.grad.set(grad);
  for (const value of tape.toReversed()) if (value.reached) value.back?.(value.grad);
}

/** For each element of a result of shape `onto`, where its operand of shape `shape` lies; axes of 1 broadcast. */
function places(shape: Shape, onto: Shape): Int32Array {
  const missing = onto.length - shape.length;
  const strides = onto.map((_, axis) => {
    const own = axis - missing;
    return own < 0 || shape[own] === 1 ? 0 : sizeOf(shape.slice(own + 1));
  });
  return gatherPlaces(onto, strides);
}

/** Linear positions of all index tuples of `shape` under the given strides, in row-major order. */
function gatherPlaces(shape: Shape, strides: readonly number[]): Int32Array {
  const index = shape.map(() => 0);
  return Int32Array.from({ length: sizeOf(shape) }, () => {
    const place = index.reduce((sum, i, axis) => sum + i * strides[axis], 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++;
      if (index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
    return place;
  });
}

type Binary = (a: number, b: number) => number;

/** An elementwise function of two broadcast operands with its slopes in both. */
const binary =
  (f: Binary, slopeA: Binary, slopeB: Binary) =>
  (a: Value, b: Value): Value => {
    const axes = Math.max(a.shape.length, b.shape.length);
    const shape = Array.from({ length: axes }, (_, i) =>
      Math.max(a.shape.at(i - axes) ?? 1, b.shape.at(i - axes) ?? 1),
    );
    const [atA, atB] = [places(a.shape, shape), places(b.shape, shape)];
    const data = Float64Array.from(atA, (placeA, i) => f(a.data[placeA], b.data[atB[i]]));
    return new Value(shape, data, (grad) => {
      for (const [i, g] of grad.entries()) {
        const [x, y] = [a.data[atA[i]], b.data[atB[i]]];
        a.grad[atA[i]] += g * slopeA(x, y);
        b.grad[atB[i]] += g * slopeB(x, y);
      }
    });
  };

export const add = binary(
  (a, b) => a + b,
  () => 1,
  () => 1,
);
export const sub = binary(
  (a, b) => a - b,
  () => 1,
  () => -1,
);
export const mul = binary(
  (a, b) => a * b,
  (_, b) => b,
  (a) => a,
);
export const div = binary(
  (a, b) => a / b,
  (_, b) => 1 / b,
  (a, b) => -a / b ** 2,
);
export const max = binary(
  Math.max,
  (a, b) => (a >= b ? 1 : 0),
  (a, b) => (a >= b ? 0 : 1),
);

/** An elementwise function with its slope, given input and output. */
const unary =
  (f: (x: number) => number, slope: (x: number, y: number) => number) =>
  (a: Value): Value => {
    const data = a.data.map(f);
    return new Value(a.shape, data, (grad) => {
      for (const [i, g] of grad.entries()) a.grad[i] += g * slope(a.data[i], data[i]);
    });
  };

export const exp = unary(Math.exp, (_, y) => y);
export const tanh = unary(Math.tanh, (_, y) => 1 - y * y);
export const sigmoid = unary(
  (x) => 1 / (1 + Math.exp(-x)),
  (_, y) => y * (1 - y),
);
export const scale = (a: Value, factor: number) =>
  unary(
    (x) => x * factor,
    () => factor,
  )(a);

const GELU = Math.sqrt(2 / Math.PI);
const geluTanh = (x: number) => Math.tanh(GELU * (x + 0.044715 * x ** 3));
/** The tanh form. */
export const gelu = unary(
  (x) => 0.5 * x * (1 + geluTanh(x)),
  (x) => {
    const t = geluTanh(x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU * (1 + 3 * 0.044715 * x * x);
  },
);

export function reshape(a: Value, shape: Shape): Value {
  return new Value(shape, a.data, (grad) => {
    for (const [i, g] of grad.entries()) a.grad[i] += g;
  });
}

/** A value whose elements are copies of those of `a`, at the given places. */
function pick(a: Value, shape: Shape, at: Int32Array): Value {
  return new Value(
    shape,
    Float64Array.from(at, (place) => a.data[place]),
    (grad) => {
      for (const [i, g] of grad.entries()) a.grad[at[i]] += g;
    },
  );
}

export function permute(a: Value, order: readonly number[]): Value {
  const shape = order.map((axis) => a.shape[axis]);
  return pick(
    a,
    shape,
    gatherPlaces(
      shape,
      order.map((axis) => sizeOf(a.shape.slice(axis + 1))),
    ),
  );
}

/** Rows of a table (V, C) by id. */
export function rows(table: Value, ids: readonly number[]): Value {
  const width = table.shape.at(-1)!;
  const at = Int32Array.from(
    { length: ids.length * width },
    (_, i) => ids[Math.floor(i / width)] * width + (i % width),
  );
  return pick(table, [ids.length, width], at);
}

export function slice(a: Value, axis: number, start: number, end: number): Value {
  const shape = a.shape.with(axis, end - start);
  const strides = a.shape.map((_, i) => sizeOf(a.shape.slice(i + 1)));
  return pick(
    a,
    shape,
    gatherPlaces(shape, strides).map((place) => place + start * strides[axis]),
  );
}

/** Joins along the first axis. */
export function concat(parts: readonly Value[]): Value {
  const length = parts.reduce((sum, part) => sum + part.shape[0], 0);
  const data = Float64Array.from(parts.flatMap((part) => [...part.data]));
  return new Value([length, ...parts[0].shape.slice(1)], data, (grad) => {
    let at = 0;
    for (const part of parts) for (const i of part.data.keys()) part.grad[i] += grad[at++];
  });
}

/** (.., M, K) x (.., K, N), or a shared b (K, N). */
export function matmul(a: Value, b: Value): Value {
  const [M, K] = a.shape.slice(-2) as [number, number];
  const N = b.shape.at(-1)!;
  const batch = sizeOf(a.shape.slice(0, -2));
  const stepB = b.shape.length > 2 ? K * N : 0;
  const data = new Float64Array(batch * M * N);
  /** Calls back with the row of a times the row of b that it meets, and where the product goes. */
  const walk = (visit: (atA: number, rowB: number, rowY: number) => void) => {
    for (let m = 0; m < batch * M; m++) {
      const matrix = Math.floor(m / M) * stepB;
      for (let k = 0; k < K; k++) visit(m * K + k, matrix + k * N, m * N);
    }
  };
  walk((atA, rowB, rowY) => {
    const x = a.data[atA];
    for (let n = 0; n < N; n++) data[rowY + n] += x * b.data[rowB + n];
  });
  return new Value([...a.shape.slice(0, -1), N], data, (grad) => {
    const [gradA, gradB] = [a.grad, b.grad];
    walk((atA, rowB, rowY) => {
      const x = a.data[atA];
      let sum = 0;
      for (let n = 0; n < N; n++) {
        const g = grad[rowY + n];
        sum += g * b.data[rowB + n];
        gradB[rowB + n] += x * g;
      }
      gradA[atA] += sum;
    });
  });
}
