/** Runs fixture cases on a device and compares outputs and gradients with the stored reference values. */
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { toFloat32, toInt32, toUint32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { FixtureCase, Kind } from "./kind.ts";
import type { CaseEntry } from "./manifest.ts";

/** How far one tensor of a case is from its reference, in units of its tolerance: above 1 it fails. */
export interface Deviation {
  readonly tensor: string;
  readonly ratio: number;
  /** First index beyond the tolerance, with what was found there. */
  readonly detail: string;
}

const modules = import.meta.glob<{ kinds: Record<string, Kind> }>("./kinds/*.ts", { eager: true });

/** Every kind that the engine covers. */
export const kinds: Readonly<Record<string, Kind>> = Object.assign(
  {},
  ...Object.values(modules).map((module) => module.kinds),
);

/** Deviations of a case, worst first; also of tensors that pass. */
export async function runCase(device: Device, entry: CaseEntry, bytes: Uint8Array<ArrayBuffer>): Promise<Deviation[]> {
  const kind = kinds[entry.kind];
  if (!kind) throw new Error(`no kind is called ${entry.kind}`);
  const file = parseSafetensors(bytes).tensors;
  const leaves = new Map<string, Tensor>();
  for (const [name, value] of file) if (/^(in|param)\./.test(name)) leaves.set(name, load(device, name, value));
  const owned: { dispose(): void }[] = [...leaves.values()];
  try {
    let collect = () => {};
    const outputs = await kind(
      fixtureOf(device, entry, leaves, owned, (callback) => {
        collect = callback;
      }),
    );
    owned.push(...Object.values(outputs));
    differentiate(device, file, outputs, owned);
    collect();
    const found = new Map<string, Tensor | null>();
    for (const [name, value] of Object.entries(outputs))
      found.set(/^(grad|out)\./.test(name) ? name : `out.${name}`, value);
    for (const [name, leaf] of leaves) {
      const short = name.replace(/^(in|param)\./, "grad.");
      if (file.has(short) && !found.has(short)) found.set(short, leaf.grad);
    }
    const deviations: Deviation[] = [];
    for (const [name, reference] of file) {
      if (!/^(out|grad)\./.test(name)) continue;
      deviations.push(await deviation(name, reference, found.get(name) ?? null, entry));
    }
    return deviations.sort((a, b) => b.ratio - a.ratio);
  } finally {
    for (const one of owned) one.dispose();
  }
}

function load(device: Device, name: string, value: FileTensor): Tensor {
  if (value.dtype === "I32") return tensor(device, toInt32(value, name), value.shape);
  if (value.dtype === "U8") return tensor(device, toUint32(value, name), value.shape);
  const leaf = tensor(device, toFloat32(value, name), value.shape);
  leaf.requiresGrad = true;
  return leaf;
}

function fixtureOf(
  device: Device,
  entry: CaseEntry,
  leaves: ReadonlyMap<string, Tensor>,
  owned: { dispose(): void }[],
  onGradients: FixtureCase["onGradients"],
): FixtureCase {
  const get = (name: string) => {
    const leaf = leaves.get(name);
    if (!leaf) throw new Error(`${entry.name} has no tensor ${name}`);
    return leaf;
  };
  return {
    device,
    attrs: entry.attrs,
    in: (name) => get(`in.${name}`),
    param: (name) => get(`param.${name}`) as Tensor<"f32">,
    has: (name) => leaves.has(name),
    onGradients,
    own(made) {
      owned.push(made);
      return made;
    },
    names: [...leaves.keys()],
  };
}

/** Sends the stored upstream gradients through the outputs that have one. */
function differentiate(
  device: Device,
  file: ReadonlyMap<string, FileTensor>,
  outputs: Record<string, Tensor>,
  owned: { dispose(): void }[],
): void {
  const roots: Tensor[] = [];
  const grads: (Tensor | undefined)[] = [];
  for (const [name, output] of Object.entries(outputs)) {
    const upstream = file.get(`dout.${name}`);
    if (!output.requiresGrad || !(upstream || (name === "loss" && output.size === 1))) continue;
    roots.push(output);
    const grad = upstream && tensor(device, toFloat32(upstream, name), output.shape);
    if (grad) owned.push(grad);
    grads.push(grad);
  }
  if (roots.length > 0) backward(roots, grads);
}

async function deviation(
  name: string,
  reference: FileTensor,
  found: Tensor | null,
  entry: CaseEntry,
): Promise<Deviation> {
  const expected: TypedArray = reference.dtype === "F32" ? toFloat32(reference, name) : toInt32(reference, name);
  const { atol = 0, rtol = 0 } = entry.tensors[name] ?? {};
  // A gradient that never arises is zero.
  const actual = found ? await found.data() : new Float32Array(expected.length);
  if (actual.length !== expected.length) {
    return {
      tensor: name,
      ratio: Number.POSITIVE_INFINITY,
      detail: `has ${actual.length} values instead of ${expected.length}`,
    };
  }
  let worst = { tensor: name, ratio: 0, detail: "" };
  for (let i = 0; i < expected.length; i++) {
    const ratio = excess(Number(actual[i]), Number(expected[i]), atol, rtol);
    if (ratio > worst.ratio) worst = { tensor: name, ratio, detail: `[${i}] is ${actual[i]}, not ${expected[i]}` };
  }
  return worst;
}

function excess(actual: number, expected: number, atol: number, rtol: number): number {
  if (Object.is(actual, expected) || actual === expected) return 0;
  if (!Number.isFinite(expected)) {
    return Number.isNaN(expected) === Number.isNaN(actual) && Number.isNaN(expected) ? 0 : Number.POSITIVE_INFINITY;
  }
  const allowed = atol + rtol * Math.abs(expected);
  const ratio = Math.abs(actual - expected) / (allowed || Number.MIN_VALUE);
  return Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio;
}
