import { GpuError } from "./errors.ts";
import { type Entry, type Kernel, type KnobValue, specialise } from "./kernel.ts";

/** A compute pipeline that may still be compiling. */
export interface Pipeline {
  readonly label: string;
  readonly layout: GPUBindGroupLayout;
  readonly layoutId: number;
  /** Null until compiled. */
  ready: GPUComputePipeline | null;
  /** Settles when compiled; rejects with a GpuError that names the kernel and the line. */
  readonly compiled: Promise<void>;
}

/** Compiles each (kernel, entry point, knobs) once, asynchronously. */
export class PipelineCache {
  private readonly gpu: GPUDevice;
  private readonly byKernel = new Map<Kernel, Map<string, Pipeline>>();
  private readonly modules = new Map<string, GPUShaderModule>();
  private readonly layouts = new Map<string, { id: number; layout: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  /** Pipelines asked for so far. */
  count = 0;
  /** Milliseconds from asking to ready, summed over pipelines (they overlap). */
  compileMs = 0;

  constructor(gpu: GPUDevice) {
    this.gpu = gpu;
  }

  get(kernel: Kernel, entryName: string, knobs: Readonly<Record<string, KnobValue | undefined>> | undefined): Pipeline {
    let entries = this.byKernel.get(kernel);
    if (!entries) {
      entries = new Map();
      this.byKernel.set(kernel, entries);
    }
    let key = entryName;
    for (const name in knobs) key += `|${name}=${knobs[name]}`;
    let pipeline = entries.get(key);
    if (!pipeline) {
      pipeline = this.build(kernel, entryName, knobs ?? {});
      entries.set(key, pipeline);
    }
    return pipeline;
  }

  private build(kernel: Kernel, entryName: string, knobs: Readonly<Record<string, KnobValue | undefined>>): Pipeline {
    const entry = kernel.entries[entryName];
    if (!entry)
      throw new TypeError(
        `${kernel.name}: no entry point is called ${entryName}; it has ${Object.keys(kernel.entries).join(", ")}`,
      );
    const { code, constants } = specialise(kernel, knobs);
    const label = `${kernel.name}.${entryName}`;
    let module = this.modules.get(code);
    if (!module) {
      // The pipeline's promise reports what is wrong with the code, in words of its own.
      this.gpu.pushErrorScope("validation");
      module = this.gpu.createShaderModule({ label: kernel.name, code });
      this.gpu.popErrorScope().catch(() => {});
      this.modules.set(code, module);
    }
    const layout = this.layoutOf(entry, kernel.params?.size ?? 0);
    this.count++;
    const start = performance.now();
    const pipeline: Pipeline = {
      label,
      layout: layout.layout,
      layoutId: layout.id,
      ready: null,
      compiled: this.gpu
        .createComputePipelineAsync({
          label,
          layout: layout.pipeline,
          compute: { module, entryPoint: entryName, constants },
        })
        .then(
          (ready) => {
            pipeline.ready = ready;
            this.compileMs += performance.now() - start;
          },
          async (error: unknown) => {
            throw new GpuError(`${label}: the kernel did not compile: ${await explain(module, code, error)}`);
          },
        ),
    };
    pipeline.compiled.catch(() => {}); // reported where the pipeline is awaited
    return pipeline;
  }

  /**
   * Bind group layouts are explicit, so that bind groups can be cached over pipelines and uniforms have dynamic offsets.
   * They say how large the uniforms are, because wgpu holds a binding of unsaid size against the pipeline before this
   * one if both share a layout.
   */
  private layoutOf(entry: Entry, uniformBytes: number) {
    const key = entry.bindings.map((b) => `${b.binding}${b.access === "uniform" ? uniformBytes : b.access}`).join();
    let found = this.layouts.get(key);
    if (!found) {
      const layout = this.gpu.createBindGroupLayout({
        entries: entry.bindings.map((b) => ({
          binding: b.binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer:
            b.access === "uniform"
              ? { type: "uniform" as const, hasDynamicOffset: true, minBindingSize: uniformBytes }
              : { type: b.access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
        })),
      });
      found = {
        id: this.layouts.size,
        layout,
        pipeline: this.gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      };
      this.layouts.set(key, found);
    }
    return found;
  }
}

async function explain(module: GPUShaderModule, code: string, error: unknown): Promise<string> {
  const reason = error instanceof Error ? error.message : String(error);
  try {
    const info = await module.getCompilationInfo();
    const lines = code.split("\n");
    const messages = info.messages
      .filter((m) => m.type === "error")
      .map((m) => `line ${m.lineNum}:${m.linePos}: ${m.message} in "${lines[m.lineNum - 1]?.trim() ?? ""}"`);
    return messages.length > 0 ? messages.join("; ") : reason;
  } catch {
    return reason;
  }
}
