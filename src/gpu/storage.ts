import { DisposedError } from "./errors.ts";

/** A GPU buffer owned by a pool; `freedIn` is the batch that was being recorded when it was last given back. */
export interface Block {
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Whether somebody else made the buffer: the pool neither counts, reuses nor destroys it. */
  readonly foreign: boolean;
  freedIn: number;
  owner: Reservation | null;
}

/** Blocks set aside for a captured plan: they are reused inside it and go back to the pool with it. */
export interface Reservation {
  readonly free: Map<number, Block[]>;
  open: boolean;
}

/** What a storage needs from the pool that made it. */
export interface BlockHome {
  giveBack(block: Block): void;
}

/**
 * A counted reference to GPU memory: a whole block, or a window of another storage.
 * Tensors that are reshapes of each other share one storage.
 */
export class Storage {
  readonly home: BlockHome;
  readonly block: Block;
  /** Bytes from the start of the block; a multiple of 256. */
  readonly offset: number;
  /** Bytes that a binding covers; at least the tensor's, a multiple of 16. */
  readonly bytes: number;
  private readonly parent: Storage | null;
  private refs = 1;
  private writes = 0;

  constructor(home: BlockHome, block: Block, offset: number, bytes: number, parent: Storage | null = null) {
    this.home = home;
    this.block = block;
    this.offset = offset;
    this.bytes = bytes;
    this.parent = parent;
  }

  /** Counts writes to this memory, or to the whole that it is a window of, so that backward can tell that a saved value changed. */
  get version(): number {
    return this.writes + (this.parent?.version ?? 0);
  }

  /** Notes a write in place. */
  touch(): void {
    this.writes++;
  }

  get live(): boolean {
    return this.refs > 0;
  }

  /** True if one reference is all there is, so that the content may be overwritten. */
  get exclusive(): boolean {
    return this.refs === 1 && this.parent === null;
  }

  retain(): this {
    if (this.refs === 0) throw new DisposedError("retain: the storage was already given back to the pool");
    this.refs++;
    return this;
  }

  release(): void {
    if (this.refs === 0) return;
    if (--this.refs > 0) return;
    if (this.parent) this.parent.release();
    else this.home.giveBack(this.block);
  }

  /** A window of this storage; `offset` must be a multiple of 256. */
  window(offset: number, bytes: number): Storage {
    return new Storage(this.home, this.block, this.offset + offset, bytes, this.retain());
  }
}
