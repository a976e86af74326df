/** Counts what an engine asks of WebGPU, whatever engine it is, by wrapping the prototypes of the page. */
export interface Counts {
  readonly dispatches: number;
  readonly submits: number;
  readonly maps: number;
  readonly pipelines: number;
  readonly writes: number;
  readonly copies: number;
  readonly buffers: number;
}

const counts = { dispatches: 0, submits: 0, maps: 0, pipelines: 0, writes: 0, copies: 0, buffers: 0 };
const memory = { live: 0, peak: 0 };

export const countsNow = (): Counts => ({ ...counts });
export const countsSince = (before: Counts): Counts =>
  Object.fromEntries(
    Object.entries(before).map(([name, n]) => [name, counts[name as keyof Counts] - n]),
  ) as unknown as Counts;

/** Most bytes of buffers that were alive at once so far. */
export const peakBytes = (): number => memory.peak;

// biome-ignore lint/suspicious/noExplicitAny: any method of any class
type Method = (...args: any[]) => unknown;

/** Counts calls of a method, which may be missing in this browser. */
function count(owner: { readonly prototype: object } | undefined, method: string, what: keyof Counts): void {
  wrap(
    owner,
    method,
    (original) =>
      function (this: unknown, ...args) {
        counts[what]++;
        return original.apply(this, args);
      },
  );
}

function wrap(
  owner: { readonly prototype: object } | undefined,
  method: string,
  make: (original: Method) => Method,
): void {
  const prototype = owner?.prototype as Record<string, Method | undefined> | undefined;
  const original = prototype?.[method];
  if (prototype && original) prototype[method] = make(original);
}

export function installCounters(): void {
  if (!("GPUDevice" in globalThis)) return;
  count(GPUComputePassEncoder, "dispatchWorkgroups", "dispatches");
  count(GPUComputePassEncoder, "dispatchWorkgroupsIndirect", "dispatches");
  count(GPUQueue, "submit", "submits");
  count(GPUQueue, "writeBuffer", "writes");
  count(GPUBuffer, "mapAsync", "maps");
  count(GPUDevice, "createComputePipeline", "pipelines");
  count(GPUDevice, "createComputePipelineAsync", "pipelines");
  count(GPUCommandEncoder, "copyBufferToBuffer", "copies");
  countMemory();
}

/** Bytes of buffers created and not yet destroyed; an engine's pool counts in full. */
function countMemory(): void {
  const sizes = new WeakMap<object, number>();
  wrap(
    GPUDevice,
    "createBuffer",
    (original) =>
      function (this: unknown, ...args) {
        const buffer = original.apply(this, args) as GPUBuffer;
        sizes.set(buffer, buffer.size);
        counts.buffers++;
        memory.live += buffer.size;
        memory.peak = Math.max(memory.peak, memory.live);
        return buffer;
      },
  );
  wrap(
    GPUBuffer,
    "destroy",
    (original) =>
      function (this: unknown, ...args) {
        memory.live -= sizes.get(this as object) ?? 0;
        sizes.delete(this as object);
        return original.apply(this, args);
      },
  );
}
