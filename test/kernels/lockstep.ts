/**
 * Steps all invocations of a workgroup together in wgsl_reflect's interpreter, which honours barriers and reports
 * data races: two invocations at one place between two barriers, one of them writing.
 */
import { detectRaces } from "wgsl_reflect/wgsl_reflect.module.js";
import type { Kernel, KnobValue } from "../../src/gpu/kernel.ts";

export interface LockstepCase {
  /** Fields of the uniform struct; `DEFAULT_PARAM` where left out. */
  readonly params?: Readonly<Record<string, number | readonly number[]>>;
  readonly knobs?: Readonly<Record<string, KnobValue>>;
  /** Workgroups. */
  readonly groups?: readonly [number, number, number];
  /** Words of each storage buffer. */
  readonly words?: number;
}

export interface Lockstep {
  readonly races: readonly string[];
  /** What the interpreter could not do. */
  readonly errors: readonly string[];
}

const DEFAULT_PARAM = 4;
const WORDS = 16384;

/** The interpreter sizes workgroup arrays by constants alone: every override becomes one. */
export function withConstants(kernel: Kernel, knobs: Readonly<Record<string, KnobValue>> = {}): string {
  let { source } = kernel;
  const all = Object.entries(kernel.knobs).sort(([, a], [, b]) => b.start - a.start);
  for (const [name, { kind, type, value, start, end }] of all) {
    const given = name in knobs ? `${knobs[name]}` : value;
    const text = kind === "alias" ? `alias ${name} = ${given};` : `const ${name}: ${type} = ${typed(type, given)};`;
    source = source.slice(0, start) + text + source.slice(end);
  }
  // It runs past a barrier that is the first statement of a loop's body.
  let barriers = 0;
  return source.replaceAll(/\b(workgroup|storage)Barrier\(\);/g, (call) => `let barrier_${barriers++} = 0u; ${call}`);
}

function typed(type: string, value: string): string {
  if (type === "u32") return value.endsWith("u") ? value : `${value}u`;
  return value;
}

function uniformOf({ params }: Kernel, given: LockstepCase["params"] = {}): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(params?.size ?? 16));
  for (const [name, { offset, type }] of Object.entries(params?.fields ?? {})) {
    const count = /^vec/.test(type) ? Number(type[3]) : 1;
    const value = given[name] ?? DEFAULT_PARAM;
    for (let i = 0; i < count; i++) {
      const one = Array.isArray(value) ? (value[i] as number) : (value as number);
      if (/f32$|^vec\df$/.test(type)) view.setFloat32(offset + 4 * i, one, true);
      else view.setUint32(offset + 4 * i, one, true);
    }
  }
  return view.buffer;
}

/** Runs an entry point on zeroed buffers. */
export function step(kernel: Kernel, entry: string, options: LockstepCase = {}): Lockstep {
  const { knobs, params, groups = [1, 1, 1], words = WORDS } = options;
  const bindings = kernel.entries[entry]?.bindings ?? [];
  const buffers = Object.fromEntries(
    bindings.map(({ binding, access }) => [
      binding,
      access === "uniform" ? { uniform: uniformOf(kernel, params) } : new ArrayBuffer(4 * words),
    ]),
  );
  const complaints: string[] = [];
  const { error, warn } = console;
  // What it cannot do it says on the console, and goes on with wrong values.
  console.error = console.warn = (...what: unknown[]) => complaints.push(what.join(" "));
  try {
    const { races, errors } = detectRaces(withConstants(kernel, knobs), entry, [...groups], { 0: buffers });
    return { races: races.map(({ message }) => message), errors: [...errors, ...complaints] };
  } catch (thrown) {
    return { races: [], errors: [thrown instanceof Error ? thrown.message : JSON.stringify(thrown)] };
  } finally {
    Object.assign(console, { error, warn });
  }
}
