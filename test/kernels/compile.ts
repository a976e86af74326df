/** Compiles kernels on whatever WebGPU is there. It runs in Node on Dawn (Tint) and in Deno on wgpu (Naga). */

export interface CompileJob {
  readonly name: string;
  readonly source: string;
  readonly features: readonly string[];
  readonly entries: readonly string[];
}

export interface CompileResult {
  readonly name: string;
  /** Messages of the compiler, or why the device refused the pipeline of an entry point. */
  readonly errors: readonly string[];
  /** Extension that this device lacks. */
  readonly skipped?: string;
}

/** WGSL extensions and the device features that offer them. */
const FEATURES: Readonly<Record<string, GPUFeatureName>> = { f16: "shader-f16", subgroups: "subgroups" };

async function compile(device: GPUDevice, job: CompileJob): Promise<CompileResult> {
  const missing = job.features.find((name) => !device.features.has(FEATURES[name] ?? name));
  if (missing) return { name: job.name, errors: [], skipped: missing };
  const errors: string[] = [];
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: job.source });
  const { messages } = await module.getCompilationInfo();
  for (const { type, lineNum, message } of messages) if (type === "error") errors.push(`${lineNum}: ${message}`);
  await device.popErrorScope();
  if (errors.length) return { name: job.name, errors };
  for (const entryPoint of job.entries) {
    device.pushErrorScope("validation");
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint } });
    const error = await device.popErrorScope();
    if (error) errors.push(`${entryPoint}: ${error.message}`);
  }
  return { name: job.name, errors };
}

/** Compiles each kernel and creates a pipeline of each entry point at its defaults, under the default limits. */
export async function compileAll(gpu: GPU, jobs: readonly CompileJob[]): Promise<CompileResult[]> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter");
  const requiredFeatures = Object.values(FEATURES).filter((feature) => adapter.features.has(feature));
  const device = await adapter.requestDevice({ requiredFeatures });
  const results: CompileResult[] = [];
  for (const job of jobs) results.push(await compile(device, job));
  device.destroy();
  return results;
}
