import { DisposedError, ShapeError } from "./errors.ts";
import type { Binding } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";
import type { BlockHome, Storage } from "./storage.ts";
import type { UniformArena, UniformSlot } from "./uniforms.ts";

/** Anything that holds GPU memory: a tensor, or a bare storage in a wrapper. */
export interface HasStorage {
  readonly storage: Storage;
}

/** Where a launch's uniform struct lies. */
export interface UniformBinding {
  readonly arena: UniformArena;
  readonly slot: UniformSlot;
  readonly bytes: number;
}

/** Bind groups kept; they refer to pooled buffers, which recur from step to step. */
const KEPT = 8192;

/** Turns tensors bound by name into bind groups, and finds the mistakes that WebGPU would report late or not at all. */
export class BindGroups {
  private readonly gpu: GPUDevice;
  private readonly home: BlockHome;
  private readonly groups = new Map<string, GPUBindGroup>();

  constructor(gpu: GPUDevice, home: BlockHome) {
    this.gpu = gpu;
    this.home = home;
  }

  clear(): void {
    this.groups.clear();
  }

  /**
   * @param used called with every storage and whether it is written
   * @throws DisposedError, or ShapeError for a tensor of another device or one both read and written
   */
  get(
    pipeline: Pipeline,
    bindings: readonly Binding[],
    buffers: Readonly<Record<string, HasStorage>>,
    uniform: UniformBinding | null,
    used: (storage: Storage, written: boolean) => void,
  ): GPUBindGroup {
    let key = uniform
      ? `${pipeline.layoutId}:${uniform.arena.id}.${uniform.slot.chunk}.${uniform.bytes}`
      : `${pipeline.layoutId}:`;
    let writes = false;
    for (const { name, access } of bindings) {
      if (access === "uniform") continue;
      const storage = this.storageOf(pipeline, name, buffers);
      const written = access === "read_write";
      writes ||= written;
      used(storage, written);
      key += `/${storage.block.id}.${storage.offset}.${storage.bytes}`;
    }
    const found = this.groups.get(key);
    if (found) return found;
    if (writes) checkAliases(pipeline, bindings, buffers);
    const group = this.gpu.createBindGroup({
      layout: pipeline.layout,
      entries: bindings.map(({ binding, name, access }) => {
        if (access === "uniform") {
          const { arena, slot, bytes } = uniform as UniformBinding;
          return { binding, resource: { buffer: arena.buffer(slot.chunk), size: bytes } };
        }
        const { block, offset, bytes } = (buffers[name] as HasStorage).storage;
        return { binding, resource: { buffer: block.buffer, offset, size: bytes } };
      }),
    });
    if (this.groups.size >= KEPT) this.groups.clear();
    this.groups.set(key, group);
    return group;
  }

  private storageOf(pipeline: Pipeline, name: string, buffers: Readonly<Record<string, HasStorage>>): Storage {
    const storage = buffers[name]?.storage;
    if (!storage?.live) {
      throw new DisposedError(
        `${pipeline.label}: the tensor bound as ${name} was disposed; keep it alive (keep, or outside the scope) while it is used`,
      );
    }
    if (storage.home !== this.home) {
      throw new ShapeError(
        `${pipeline.label}: the tensor bound as ${name} belongs to another device; create it on this one or copy it through data()`,
      );
    }
    return storage;
  }
}

/** WebGPU refuses memory bound both for reading and for writing; say which, at the call. */
function checkAliases(
  pipeline: Pipeline,
  bindings: readonly Binding[],
  buffers: Readonly<Record<string, HasStorage>>,
): void {
  for (const a of bindings) {
    if (a.access !== "read_write") continue;
    const sa = (buffers[a.name] as HasStorage).storage;
    for (const b of bindings) {
      if (b === a || b.access === "uniform") continue;
      const sb = (buffers[b.name] as HasStorage).storage;
      const overlap = sa.block === sb.block && sa.offset < sb.offset + sb.bytes && sb.offset < sa.offset + sa.bytes;
      if (overlap) {
        throw new ShapeError(
          `${pipeline.label}: ${a.name} is written while ${b.name} is the same memory; write into another tensor`,
        );
      }
    }
  }
}
