/** Writes ONNX models (protocol buffers, https://onnx.ai/onnx/repo-docs/IR.html), as far as the benchmark needs them. */

/** Numbers of ONNX element types. */
export const FLOAT = 1;
const INT32 = 6;
export const INT64 = 7;

type Constant = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;
type Attribute = number | readonly number[] | { readonly float: number };

/** A message under construction: fields of numbers, strings, bytes and messages. */
class Message {
  private readonly parts: Uint8Array[] = [];

  int(field: number, value: number | bigint): this {
    return this.varint(field << 3).varint(value);
  }

  float(field: number, value: number): this {
    this.varint((field << 3) | 5);
    this.parts.push(new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.varint((field << 3) | 2).varint(value.length);
    this.parts.push(value);
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.encode());
  }

  encode(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of this.parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  private varint(value: number | bigint): this {
    const bytes: number[] = [];
    let left = BigInt.asUintN(64, BigInt(value));
    do {
      const low = Number(left & 127n);
      left >>= 7n;
      bytes.push(left > 0n ? low | 128 : low);
    } while (left > 0n);
    this.parts.push(Uint8Array.from(bytes));
    return this;
  }
}

function tensor(name: string, shape: readonly number[], data: Constant): Message {
  const message = new Message();
  for (const size of shape) message.int(1, size);
  const type = data instanceof Float32Array ? FLOAT : data instanceof Int32Array ? INT32 : INT64;
  return message
    .int(2, type)
    .string(8, name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function valueInfo(name: string, type: number, shape: readonly number[]): Message {
  const dimensions = new Message();
  for (const size of shape) dimensions.message(1, new Message().int(1, size));
  const tensorType = new Message().int(1, type).message(2, dimensions);
  return new Message().string(1, name).message(2, new Message().message(1, tensorType));
}

function attribute(name: string, value: Attribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === "number") return message.int(3, value).int(20, 2);
  if ("float" in value) return message.float(2, value.float).int(20, 1);
  for (const item of value) message.int(8, item);
  return message.int(20, 7);
}

/** A graph whose values are their names. */
export class Graph {
  private readonly graph = new Message().string(2, "graph");
  private names = 0;

  input(name: string, type: number, shape: readonly number[]): string {
    this.graph.message(11, valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: number, shape: readonly number[], value: string): void {
    this.node("Identity", [value], {}, [name]);
    this.graph.message(12, valueInfo(name, type, shape));
  }

  constant(shape: readonly number[], data: Constant): string {
    const name = this.fresh();
    this.graph.message(5, tensor(name, shape, data));
    return name;
  }

  /** A node with one result. */
  op(type: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const name = this.fresh();
    this.node(type, inputs, attributes, [name]);
    return name;
  }

  /** A node with several results. */
  ops(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    count: number,
  ): string[] {
    const names = Array.from({ length: count }, () => this.fresh());
    this.node(type, inputs, attributes, names);
    return names;
  }

  encode(): Uint8Array<ArrayBuffer> {
    const opset = new Message().string(1, "").int(2, 21);
    return new Message().int(1, 10).string(2, "peers").message(7, this.graph).message(8, opset).encode();
  }

  private node(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: readonly string[],
  ): void {
    const message = new Message();
    for (const input of inputs) message.string(1, input);
    for (const output of outputs) message.string(2, output);
    message.string(3, this.fresh()).string(4, type);
    for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value));
    this.graph.message(1, message);
  }

  private fresh(): string {
    return `v${this.names++}`;
  }
}
