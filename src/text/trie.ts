/** Byte strings that share their beginnings, for finding the longest that fits; nodes lie in flat arrays. */
export class ByteTrie {
  /** Nodes after the root by their byte, which are most of the choices. */
  private readonly roots = new Int32Array(256);
  private readonly byte: Uint8Array;
  private readonly child: Int32Array;
  private readonly sibling: Int32Array;
  /** What ends at a node, or -1. */
  private readonly value: Int32Array;
  private count = 1;

  /** @param bytes most bytes that the strings have together */
  constructor(bytes: number) {
    this.byte = new Uint8Array(bytes + 1);
    this.child = new Int32Array(bytes + 1);
    this.sibling = new Int32Array(bytes + 1);
    this.value = new Int32Array(bytes + 1).fill(-1);
  }

  /** @returns the value that the same string already has, which stays */
  add(string: Uint8Array, value: number): number | undefined {
    let node = 0;
    for (const byte of string) node = this.next(node, byte) || this.grow(node, byte);
    const known = this.value[node] as number;
    if (known >= 0) return known;
    this.value[node] = value;
    return undefined;
  }

  /** The value of the longest string that stands in `bytes` at `at`. */
  longest(bytes: Uint8Array, at: number): number | undefined {
    let found = -1;
    for (let node = 0, i = at; i < bytes.length; i++) {
      node = this.next(node, bytes[i] as number);
      if (node === 0) break;
      const value = this.value[node] as number;
      if (value >= 0) found = value;
    }
    return found < 0 ? undefined : found;
  }

  /** The node behind `node` on the way of `byte`, or 0. */
  private next(node: number, byte: number): number {
    if (node === 0) return this.roots[byte] as number;
    let at = this.child[node] as number;
    while (at !== 0 && this.byte[at] !== byte) at = this.sibling[at] as number;
    return at;
  }

  private grow(node: number, byte: number): number {
    const made = this.count++;
    this.byte[made] = byte;
    if (node === 0) this.roots[byte] = made;
    else {
      this.sibling[made] = this.child[node] as number;
      this.child[node] = made;
    }
    return made;
  }
}
