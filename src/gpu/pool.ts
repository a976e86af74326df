import { LimitError } from "./errors.ts";
import { type Block, type BlockHome, type Reservation, Storage } from "./storage.ts";

/** Which batch of commands is being recorded, and up to which one everything was submitted. */
export interface BatchClock {
  /** Number of the batch that a command recorded now belongs to; the last submitted one if none is open. */
  readonly recording: number;
  readonly submitted: number;
}

/** Bytes of GPU memory, as the pool counts them. */
export interface MemoryStats {
  /** Held by tensors and captured plans. */
  readonly live: number;
  /** Largest `live` since the device was opened or `resetPeak`. */
  readonly peak: number;
  /** Live plus free blocks kept for reuse. */
  readonly reserved: number;
}

const SMALLEST = 256;

/** Rounds up to 1, 1.25, 1.5 or 1.75 times a power of two: at most a quarter is wasted and sizes repeat. */
export function sizeClass(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  const power = 2 ** Math.floor(Math.log2(bytes));
  const step = Math.max(power / 4, SMALLEST);
  return Math.ceil(bytes / step) * step;
}

/**
 * Reuses GPU buffers by size class: creating and clearing one costs milliseconds, and only `destroy`
 * frees predictably. A block given back can serve a later kernel at once (commands run in order), but a
 * host write only after every batch that may read it was submitted.
 */
export class BufferPool implements BlockHome {
  private readonly gpu: GPUDevice;
  private readonly clock: BatchClock;
  private readonly blocks = new Set<Block>();
  private readonly free = new Map<number, Block[]>();
  private reservation: Reservation | null = null;
  private ids = 0;
  private live = 0;
  private peak = 0;
  private reserved = 0;

  constructor(gpu: GPUDevice, clock: BatchClock) {
    this.gpu = gpu;
    this.clock = clock;
  }

  get stats(): MemoryStats {
    return { live: this.live, peak: this.peak, reserved: this.reserved };
  }

  resetPeak(): void {
    this.peak = this.live;
  }

  /** Memory for `bytes`; with `hostWrite` no recorded command can still be using it. */
  allocate(bytes: number, what: string, hostWrite = false): Storage {
    const size = this.fit(bytes, what);
    const block = this.take(size, hostWrite) ?? this.create(size, hostWrite);
    return new Storage(this, block, 0, block.bytes);
  }

  /** Memory that somebody else owns: `bytes` of a buffer from `offset` on. */
  borrow(buffer: GPUBuffer, offset: number, bytes: number): Storage {
    const block = { id: ++this.ids, buffer, bytes: buffer.size, foreign: true, freedIn: 0, owner: null };
    return new Storage(this, block, offset, bytes);
  }

  giveBack(block: Block): void {
    if (block.foreign) return;
    block.freedIn = this.clock.recording;
    if (block.owner?.open) {
      push(block.owner.free, block);
      return;
    }
    block.owner = null;
    this.live -= block.bytes;
    push(this.free, block);
  }

  /** Until `unreserve`, blocks for kernels are set aside for one captured plan. */
  reserve(): Reservation {
    this.reservation = { free: new Map(), open: true };
    return this.reservation;
  }

  unreserve(): void {
    this.reservation = null;
  }

  /** Gives a plan's blocks back; those that a tensor still holds follow when it is disposed. */
  close(reservation: Reservation): void {
    if (!reservation.open) return;
    reservation.open = false;
    for (const blocks of reservation.free.values()) for (const block of blocks) this.giveBack(block);
    reservation.free.clear();
  }

  /** Destroys the free blocks; returns the bytes given back to the system. */
  trim(): number {
    let bytes = 0;
    for (const [size, blocks] of this.free) {
      const keep = blocks.filter((block) => block.freedIn > this.clock.submitted);
      for (const block of blocks) {
        if (block.freedIn > this.clock.submitted) continue;
        block.buffer.destroy();
        this.blocks.delete(block);
        bytes += block.bytes;
      }
      this.free.set(size, keep);
    }
    this.reserved -= bytes;
    return bytes;
  }

  /** Destroys every buffer, also those in use. */
  destroy(): void {
    for (const block of this.blocks) block.buffer.destroy();
    this.blocks.clear();
    this.free.clear();
  }

  private fit(bytes: number, what: string): number {
    const limit = Math.min(this.gpu.limits.maxStorageBufferBindingSize, this.gpu.limits.maxBufferSize);
    if (bytes > limit) {
      throw new LimitError(
        `${what}: ${bytes} bytes are more than the ${limit} that this device binds at once; use a smaller size or split the tensor`,
      );
    }
    const size = sizeClass(bytes);
    return size <= limit ? size : Math.ceil(bytes / 16) * 16;
  }

  private take(size: number, hostWrite: boolean): Block | undefined {
    const own = this.reservation;
    if (own && !hostWrite) {
      const reused = own.free.get(size)?.pop();
      if (reused) return reused;
    }
    const blocks = this.free.get(size);
    if (!blocks) return undefined;
    const at = hostWrite ? blocks.findLastIndex((block) => block.freedIn <= this.clock.submitted) : blocks.length - 1;
    if (at < 0) return undefined;
    const [block] = blocks.splice(at, 1);
    if (!block) return undefined;
    return this.own(block, hostWrite);
  }

  private create(size: number, hostWrite: boolean): Block {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.gpu.createBuffer({ size, usage });
    this.reserved += size;
    const block: Block = { id: ++this.ids, buffer, bytes: size, foreign: false, freedIn: 0, owner: null };
    this.blocks.add(block);
    return this.own(block, hostWrite);
  }

  private own(block: Block, hostWrite: boolean): Block {
    if (!hostWrite) block.owner = this.reservation;
    this.live += block.bytes;
    if (this.live > this.peak) this.peak = this.live;
    return block;
  }
}

function push(lists: Map<number, Block[]>, block: Block): void {
  const list = lists.get(block.bytes);
  if (list) list.push(block);
  else lists.set(block.bytes, [block]);
}
