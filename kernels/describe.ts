/**
 * Reads a kernel file into the record that `Device.dispatch` takes, and refuses files that break the house rules.
 * @module ostinato/describe
 */
import { WgslParser, WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";
import type { Binding, Entry, Kernel, Knob, ParamsLayout } from "../src/gpu/kernel.ts";

/** What is read of a module-scope node of the syntax tree; `start` and `end` span the whole declaration. */
interface Declaration {
  readonly astNodeType: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly type?: { readonly name: string } | null;
}

const SCALARS = new Set(["bool", "u32", "i32", "f32", "f16"]);
/** `ResourceType.Uniform` of wgsl_reflect, whose types cannot be imported as values. */
const UNIFORM = 0;

function parse(source: string, file: string): { ast: Declaration[]; reflect: WgslReflect } {
  try {
    return { ast: new WgslParser().parse(source) as unknown as Declaration[], reflect: new WgslReflect(source) };
  } catch (error) {
    // The scanner throws strings, the parser records; both texts end in the line.
    const { message } = error as { message?: string };
    throw new Error(`${file}: ${message ?? String(error)}`);
  }
}

function readKnobs(ast: readonly Declaration[], source: string, file: string): Record<string, Knob> {
  const knobs: Record<string, Knob> = {};
  for (const node of ast) {
    const kind = node.astNodeType;
    if (kind !== "override" && kind !== "const" && kind !== "alias") continue;
    const text = source.slice(node.start, node.end);
    const type = kind === "alias" ? "" : (node.type?.name ?? "");
    // Only a scalar constant with a written type can be set by a caller.
    if (kind === "const" && !SCALARS.has(type)) continue;
    const equals = text.indexOf("=");
    if (equals < 0) throw new Error(`${file}: override ${node.name} has no default; give it one`);
    const value = text.slice(equals + 1, -1).trim();
    knobs[node.name] = { kind, type, value, start: node.start, end: node.end };
  }
  return knobs;
}

function readEntries(reflect: WgslReflect, file: string): Record<string, Entry> {
  const entries: Record<string, Entry> = {};
  for (const entry of reflect.entry.compute) {
    const size = entry.attributes?.find((a) => a.name === "workgroup_size")?.value;
    if (size === undefined || size === null)
      throw new Error(`${file}: entry point ${entry.name} has no @workgroup_size`);
    const bindings: Binding[] = entry.resources
      .filter((r) => r.binding >= 0)
      .sort((a, b) => a.binding - b.binding)
      .map((r) => ({
        name: r.name,
        binding: r.binding,
        access: Number(r.resourceType) === UNIFORM ? "uniform" : (r.access as "read" | "read_write"),
      }));
    const workgroupSize = [size].flat().map((v) => (/^\d+[ui]?$/.test(v) ? Number.parseInt(v, 10) : v));
    entries[entry.name] = { workgroupSize, bindings };
  }
  if (Object.keys(entries).length === 0) throw new Error(`${file}: no @compute entry point`);
  return entries;
}

/** Binding numbers are dense, all in group 0, and every binding is used by some entry point. */
function checkBindings(reflect: WgslReflect, entries: Record<string, Entry>, file: string): void {
  const used = new Set(Object.values(entries).flatMap((e) => e.bindings.map((b) => b.name)));
  const declared = [...reflect.uniforms, ...reflect.storage].sort((a, b) => a.binding - b.binding);
  declared.forEach((variable, index) => {
    const at = `${file}: binding ${variable.name}`;
    if (!used.has(variable.name)) throw new Error(`${at} is used by no entry point; remove it`);
    if (variable.group !== 0) throw new Error(`${at} is in group ${variable.group}; kernels use group 0 only`);
    if (variable.binding !== index)
      throw new Error(`${at} has number ${variable.binding}, expected ${index}; number the bindings 0, 1, 2, …`);
  });
}

function readParams(reflect: WgslReflect, file: string): ParamsLayout | null {
  const [uniform, ...more] = reflect.uniforms;
  if (!uniform) return null;
  if (more.length || uniform.binding !== 0 || !uniform.members)
    throw new Error(`${file}: the only uniform is a struct at binding 0, var<uniform> params: Params`);
  const fields = uniform.members.map((m) => [m.name, { offset: m.offset, type: m.type.getTypeName() }]);
  return { size: Math.ceil(uniform.size / 16) * 16, fields: Object.fromEntries(fields) };
}

/**
 * Describes one kernel: what `Device.dispatch` needs to know of a .wgsl file. The build does this for files that are
 * imported; a program without a build calls it once for each kernel of its own.
 * @param source WGSL; spans refer to this text
 * @param name what messages, labels and profiles call it, such as "elementwise/unary"
 * @param file what messages about the file itself call it
 * @throws Error naming the file, when it does not parse or breaks a rule
 */
export function describe(source: string, name: string, file = `${name}.wgsl`): Kernel {
  const { ast, reflect } = parse(source, file);
  const entries = readEntries(reflect, file);
  checkBindings(reflect, entries, file);
  return {
    name,
    source,
    features: ast.filter((n) => n.astNodeType === "enable").map((n) => n.name),
    knobs: readKnobs(ast, source, file),
    entries,
    params: readParams(reflect, file),
  };
}
