import { FileError } from "../../gpu/errors.ts";
import { quoted } from "../format.ts";

/** What a pickle can hold here; dictionaries keep their order, and tuples are lists. */
export type PickleValue = null | boolean | number | bigint | string | PickleValue[] | PickleDict | Opaque;

/** A dictionary; its keys are those that occur in checkpoints, and others are refused. */
export type PickleDict = Map<string | number, PickleValue>;

/** A value that the hooks made: a tensor, a storage. */
export interface Opaque {
  readonly opaque: string;
}

/** The name of a class or function; it is never looked up, only compared. */
class Global implements Opaque {
  readonly opaque = "global";
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** What a reader makes of the parts of a pickle that would run code in Python. */
export interface PickleHooks {
  /** Names that may occur, as `module.name`. */
  readonly globals: ReadonlySet<string>;
  /** A call of one of them. */
  call(name: string, args: PickleValue[]): PickleValue;
  /** An object that is stored outside of the pickle. */
  persistent(id: PickleValue): PickleValue;
}

/** Marks the begin of the arguments of an opcode on the stack. */
const MARK = Symbol("mark");
type Item = PickleValue | typeof MARK;

function fail(code: string, message: string): never {
  throw new FileError(code, `pickle: ${message}`);
}

/** The name of a global, for hooks that were handed one as an argument; undefined for anything else. */
export function globalName(value: PickleValue | undefined): string | undefined {
  return value instanceof Global ? value.name : undefined;
}

/**
 * Reads a pickle of containers, strings, numbers and what `hooks` knows. Nothing is executed: every opcode or name
 * outside of this table ends the reading, by name.
 * Source: the opcode descriptions of CPython's Lib/pickletools.py, protocols 2 to 5.
 * @throws FileError `pickle-opcode`, `pickle-global` or, for a damaged stream, `pickle-damaged`
 */
export function readPickle(bytes: Uint8Array<ArrayBuffer>, hooks: PickleHooks): PickleValue {
  return new Unpickler(bytes, hooks).run();
}

/** Opcodes that are refused, so that the message can say what the file wanted to do. */
const REFUSED: Readonly<Record<string, string>> = {
  i: "INST, which makes an object",
  o: "OBJ, which makes an object",
  "\x81": "NEWOBJ, which makes an object",
  "\x92": "NEWOBJ_EX, which makes an object",
  "\x82": "EXT1, a registered extension",
  "\x83": "EXT2, a registered extension",
  "\x84": "EXT4, a registered extension",
  P: "PERSID, an object by its printed name",
};

class Unpickler {
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly view: DataView;
  private readonly hooks: PickleHooks;
  private readonly stack: Item[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly steps: Readonly<Record<string, () => void>> = this.table();
  private at = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>, hooks: PickleHooks) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.hooks = hooks;
  }

  run(): PickleValue {
    for (;;) {
      const at = this.at;
      const code = String.fromCharCode(this.uint(1));
      if (code === ".") return this.pop();
      const step = Object.hasOwn(this.steps, code) ? this.steps[code] : undefined;
      if (!step) {
        const name = REFUSED[code] ?? `0x${code.charCodeAt(0).toString(16).padStart(2, "0")}`;
        fail(
          "pickle-opcode",
          `the opcode ${name} at byte ${at} is none that tensors and containers need; refused, as a pickle can run code`,
        );
      }
      step();
    }
  }

  private table(): Record<string, () => void> {
    const push = (value: Item) => this.stack.push(value);
    const put = (key: number) => this.memo.set(key, this.top());
    return {
      "\x80": () => this.protocol(),
      // Frames only group bytes for readers of streams.
      "\x95": () => this.skip(8),
      "(": () => push(MARK),
      N: () => push(null),
      "\x88": () => push(true),
      "\x89": () => push(false),
      J: () => push(this.int32()),
      K: () => push(this.uint(1)),
      M: () => push(this.uint(2)),
      "\x8a": () => push(this.long()),
      G: () => push(this.view.getFloat64(this.skip(8))),
      X: () => push(this.text(this.uint(4))),
      "\x8c": () => push(this.text(this.uint(1))),
      "}": () => push(new Map()),
      "]": () => push([]),
      ")": () => push([]),
      "\x85": () => push(this.take(1)),
      "\x86": () => push(this.take(2)),
      "\x87": () => push(this.take(3)),
      t: () => push(this.sinceMark()),
      a: () => {
        const value = this.pop();
        this.list().push(value);
      },
      e: () => {
        const values = this.sinceMark();
        const list = this.list();
        for (const value of values) list.push(value);
      },
      s: () => this.setItems(this.take(2)),
      u: () => this.setItems(this.sinceMark()),
      q: () => put(this.uint(1)),
      r: () => put(this.uint(4)),
      "\x94": () => put(this.memo.size),
      h: () => this.get(this.uint(1)),
      j: () => this.get(this.uint(4)),
      c: () => this.global(`${this.line()}.${this.line()}`),
      "\x93": () => this.global(this.take(2).map(String).join(".")),
      R: () => this.reduce(),
      Q: () => push(this.hooks.persistent(this.pop())),
      // Attributes of an object, such as the versions that a state dict carries: nothing here has any use for them.
      b: () => void this.pop(),
      "0": () => void this.pop(),
    };
  }

  private protocol(): void {
    const version = this.uint(1);
    if (version < 2 || version > 5) fail("pickle-damaged", `its protocol is ${version}; 2 to 5 are known`);
  }

  private global(name: string): void {
    if (!this.hooks.globals.has(name))
      fail(
        "pickle-global",
        `the file wants ${quoted(name)}, which is no tensor or container; refused, as it could run code`,
      );
    this.stack.push(new Global(name));
  }

  private reduce(): void {
    const args = this.pop();
    const name = globalName(this.pop());
    if (name === undefined || !Array.isArray(args)) this.damaged();
    this.stack.push(this.hooks.call(name, args));
  }

  private setItems(items: PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) this.damaged();
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (typeof key !== "string" && typeof key !== "number")
        fail("pickle-key", "a dictionary has a key that is neither text nor a number; a state dict has names as keys");
      dict.set(key, items[i + 1] as PickleValue);
    }
  }

  private list(): PickleValue[] {
    const list = this.top();
    return Array.isArray(list) ? list : this.damaged();
  }

  private top(): PickleValue {
    const item = this.stack.at(-1);
    return item === undefined || item === MARK ? this.damaged() : item;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private take(count: number): PickleValue[] {
    const items = this.stack.splice(Math.max(0, this.stack.length - count));
    return items.length < count || items.includes(MARK) ? this.damaged() : (items as PickleValue[]);
  }

  private sinceMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) this.damaged();
    return this.stack.splice(mark).slice(1) as PickleValue[];
  }

  private get(key: number): void {
    const value = this.memo.get(key);
    this.stack.push(value === undefined ? this.damaged() : value);
  }

  /** Moves on by `count` bytes; returns where they begin. */
  private skip(count: number): number {
    const begin = this.at;
    if (begin + count > this.bytes.length)
      fail("pickle-damaged", `it ends at byte ${this.bytes.length}, in the midst of a value; the file is truncated`);
    this.at += count;
    return begin;
  }

  private uint(bytes: 1 | 2 | 4): number {
    const at = this.skip(bytes);
    if (bytes === 1) return this.view.getUint8(at);
    return bytes === 2 ? this.view.getUint16(at, true) : this.view.getUint32(at, true);
  }

  private int32(): number {
    return this.view.getInt32(this.skip(4), true);
  }

  /** A little-endian integer in two's complement of up to 255 bytes. */
  private long(): number | bigint {
    const count = this.uint(1);
    const begin = this.skip(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[begin + i] as number);
    const signed = BigInt.asIntN(8 * count, value);
    const small = Number(signed);
    return Number.isSafeInteger(small) ? small : signed;
  }

  private text(length: number): string {
    const begin = this.skip(length);
    return new TextDecoder().decode(this.bytes.subarray(begin, begin + length));
  }

  /** Text up to a line break. */
  private line(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end < 0) this.damaged();
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }

  private damaged(): never {
    return fail("pickle-damaged", `it makes no sense before byte ${this.at}; the file is damaged`);
  }
}
