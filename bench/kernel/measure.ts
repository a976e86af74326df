/**
 * Times any kernel by its signature alone: buffers from the shapes in the comments of its bindings, filled from a
 * seed. Without a reference it cannot be called right, so two kernels given are compared with each other.
 */
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel, KnobValue } from "../../src/gpu/kernel.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { compare, explain } from "../check.ts";
import type { KernelJob, Progress } from "../job.ts";
import type { Line, Work } from "../line.ts";
import { type Clock, measureLine, type Result, type TimingOptions } from "../measure.ts";
import { bufferElements, groupsOf } from "./signature.ts";

const SEED = 7;
/** Two kernels agree if their results differ by no more than this share. */
const AGREEMENT = 1e-4;

function prepare(device: Device, job: KernelJob): Work & { outputs: readonly Tensor[] } {
  const { kernel, entry, sizes } = job;
  const random = new Random(SEED);
  const tensors: Record<string, Tensor> = {};
  const bindings = (kernel.entries[entry]?.bindings ?? []).filter(({ access }) => access !== "uniform");
  for (const { name } of bindings) {
    const { count, type } = bufferElements(kernel, name, sizes);
    tensors[name] =
      type === "f32"
        ? tensor(device, random.fillUniform(new Float32Array(count), -1, 1))
        : tensor(device, new Uint32Array(count)); // whole numbers are often places: zero is always one
  }
  const fields = Object.entries(kernel.params?.fields ?? {});
  const params = Object.fromEntries(
    fields.map(([name, { type }]) => [
      name,
      /^vec(\d)/.test(type) ? new Array(Number(type[3])).fill(sizes[name] ?? 0) : (sizes[name] ?? 0),
    ]),
  );
  const knobs: Record<string, KnobValue> = Object.fromEntries(
    Object.keys(kernel.knobs).flatMap((name) => (name in sizes ? [[name, sizes[name] as number] as const] : [])),
  );
  const outputs = bindings.filter(({ access }) => access === "read_write").map(({ name }) => tensors[name] as Tensor);
  const groups = groupsOf(kernel, entry, sizes);
  return {
    inputs: Object.values(tensors),
    outputs,
    run() {
      device.dispatch(kernel as Kernel, entry, tensors, params as never, groups, knobs);
      return [];
    },
    expected: () => [],
  };
}

/** The results of one launch from fresh buffers. */
async function outputsOf(device: Device, job: KernelJob): Promise<ArrayLike<number>[]> {
  const work = prepare(device, job);
  scope(() => work.run());
  const values = await Promise.all(work.outputs.map((output) => output.data()));
  for (const input of work.inputs) input.dispose();
  return values;
}

export async function measureKernels(
  device: Device,
  jobs: readonly KernelJob[],
  clock: Clock,
  options: TimingOptions,
  progress: Progress,
): Promise<Result[]> {
  const results: Result[] = [];
  let first: ArrayLike<number>[] | null = null;
  for (const job of jobs) {
    progress(job.file);
    const name = `${job.file} ${job.entry}`;
    try {
      const outputs = await outputsOf(device, job);
      const mismatch = (first ?? [])
        .map((expected, i) => compare(outputs[i] ?? [], expected, AGREEMENT, i))
        .find(Boolean);
      if (mismatch) {
        results.push({ name, error: `differs from ${jobs[0]?.file}: ${explain(mismatch)}` });
        continue;
      }
      first ??= outputs;
      const bytes = bytesOf(job);
      const line: Line = { name, flops: 0, bytes, prepare: (on) => prepare(on, job) };
      results.push(await measureLine(device, line, clock, options));
    } catch (error) {
      results.push({ name, error: error instanceof Error ? error.message : String(error) });
    }
  }
  return results;
}

/** Every binding once. */
function bytesOf({ kernel, entry, sizes }: KernelJob): number {
  const bindings = kernel.entries[entry]?.bindings ?? [];
  return bindings
    .filter(({ access }) => access !== "uniform")
    .reduce((sum, { name }) => sum + 4 * bufferElements(kernel, name, sizes).count, 0);
}
