import type { ParamsLayout } from "./kernel.ts";

const CHUNK_BYTES = 65536;
/** Offset alignment that every device accepts. */
const ALIGN = 256;

/** Where a dispatch's uniform struct lies. */
export interface UniformSlot {
  readonly chunk: number;
  readonly offset: number;
}

/**
 * Uniform structs of the dispatches of one batch or plan, packed on the host into 64 KiB chunks and
 * written once; a dispatch finds its own through a dynamic offset.
 */
export class UniformArena {
  /** Tells arenas apart in bind group keys. */
  readonly id: number;
  private readonly gpu: GPUDevice;
  private readonly buffers: GPUBuffer[] = [];
  private host: { u32: Uint32Array<ArrayBuffer>; i32: Int32Array; f32: Float32Array }[] = [];
  private used = 0;

  constructor(gpu: GPUDevice, id: number) {
    this.gpu = gpu;
    this.id = id;
  }

  buffer(chunk: number): GPUBuffer {
    const found = this.buffers[chunk];
    if (found) return found;
    const made = this.gpu.createBuffer({
      label: "uniforms",
      size: CHUNK_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.buffers[chunk] = made;
    return made;
  }

  pack(layout: ParamsLayout, values: Readonly<Record<string, number | readonly number[]>>, label: string): UniformSlot {
    const inChunk = this.used % CHUNK_BYTES;
    const start = inChunk + layout.size > CHUNK_BYTES ? Math.ceil(this.used / CHUNK_BYTES) * CHUNK_BYTES : this.used;
    const chunk = Math.floor(start / CHUNK_BYTES);
    const offset = start % CHUNK_BYTES;
    let view = this.host[chunk];
    if (!view) {
      const u32 = new Uint32Array(CHUNK_BYTES / 4);
      view = { u32, i32: new Int32Array(u32.buffer), f32: new Float32Array(u32.buffer) };
      this.host[chunk] = view;
    }
    for (const name in layout.fields) {
      const field = layout.fields[name];
      const value = values[name];
      if (!field || value === undefined) throw new TypeError(`${label}: the parameter ${name} is missing`);
      const target = field.type.includes("f32") ? view.f32 : field.type.includes("i32") ? view.i32 : view.u32;
      const at = (offset + field.offset) / 4;
      if (typeof value === "number") target[at] = value;
      else for (let i = 0; i < value.length; i++) target[at + i] = value[i] as number;
    }
    this.used = start + Math.ceil(layout.size / ALIGN) * ALIGN;
    return { chunk, offset };
  }

  /** The chunks filled since the last `take`, with host memory of their own; packing starts over. */
  take(): Uint32Array<ArrayBuffer>[] {
    const filled = Math.ceil(this.used / CHUNK_BYTES);
    const last = this.used - (filled - 1) * CHUNK_BYTES;
    const chunks = this.host
      .slice(0, filled)
      .map((view, i) => view.u32.subarray(0, (i === filled - 1 ? last : CHUNK_BYTES) / 4));
    this.used = 0;
    return chunks;
  }

  /** Forgets host memory that a waiting batch still needs. */
  detach(): void {
    this.host = [];
  }

  upload(chunks: readonly Uint32Array<ArrayBuffer>[]): void {
    chunks.forEach((data, chunk) => {
      if (data.length > 0) this.gpu.queue.writeBuffer(this.buffer(chunk), 0, data);
    });
  }

  destroy(): void {
    for (const buffer of this.buffers) buffer.destroy();
  }
}
