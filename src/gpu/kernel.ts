/**
 * What the build emits for a `.wgsl` file (kernels/plugin.ts), and how a kernel is specialised.
 *
 * A kernel file is valid WGSL as it lies. Three kinds of module-scope declaration are its knobs:
 * `override` (a pipeline constant), `const` (replaced by span; needed where WGSL forbids an override,
 * as in the size of a private array) and `alias` (an element type, replaced by span).
 */

/** One `@group(0) @binding(n)` variable of an entry point. */
export interface Binding {
  readonly name: string;
  readonly binding: number;
  readonly access: "uniform" | "read" | "read_write";
}

/** One `@compute` entry point. */
export interface Entry {
  readonly workgroupSize: readonly (number | string)[];
  readonly bindings: readonly Binding[];
}

/** A module-scope `override`, `const` or `alias` that a caller may set. */
export interface Knob {
  readonly kind: "override" | "const" | "alias";
  /** WGSL type, for instance `u32`; empty for an alias. */
  readonly type: string;
  /** Default, as written in the file. */
  readonly value: string;
  /** Span of the whole declaration in `source`, semicolon included. */
  readonly start: number;
  readonly end: number;
}

/** Layout of the uniform struct at binding 0. */
export interface ParamsLayout {
  /** Bytes, rounded up to 16. */
  readonly size: number;
  readonly fields: Readonly<Record<string, { readonly offset: number; readonly type: string }>>;
}

/** A `.wgsl` file as a module: what `Device.dispatch` needs to know of it. Made by the build, or by `describe`. */
export interface Kernel {
  readonly name: string;
  readonly source: string;
  /** WGSL extensions that the file enables, for instance `subgroups`. */
  readonly features: readonly string[];
  readonly knobs: Readonly<Record<string, Knob>>;
  readonly entries: Readonly<Record<string, Entry>>;
  readonly params: ParamsLayout | null;
}

export type EntryName<K extends Kernel> = keyof K["entries"] & string;

/** Names of the storage bindings that an entry point uses. */
export type BufferName<K extends Kernel, E extends EntryName<K>> = Exclude<
  K["entries"][E]["bindings"][number],
  { readonly access: "uniform" }
>["name"];

/** Values of the uniform struct: a number a scalar field, an array a vector or array field. */
export type ParamValues<K extends Kernel> = [K["params"]] extends [null]
  ? Readonly<Record<string, never>>
  : null extends K["params"]
    ? // Described at run time: the compiler knows no field.
      Readonly<Record<string, number | readonly number[]>>
    : {
        readonly [F in keyof NonNullable<K["params"]>["fields"]]: NonNullable<K["params"]>["fields"][F]["type"] extends
          | "u32"
          | "i32"
          | "f32"
          ? number
          : readonly number[];
      };

export type KnobValue = number | boolean | string;
/** Knobs of a launch by name; those left out keep the value in the file. */
export type KnobValues<K extends Kernel> = { readonly [N in keyof K["knobs"]]?: KnobValue };

/** WGSL text and pipeline constants of a kernel with some knobs set. */
export interface Specialised {
  readonly code: string;
  readonly constants: Record<string, number>;
}

/** Sets knobs: overrides become pipeline constants, `const` and `alias` declarations are replaced by span. */
export function specialise(kernel: Kernel, values: Readonly<Record<string, KnobValue | undefined>>): Specialised {
  const constants: Record<string, number> = {};
  const splices: { start: number; end: number; text: string }[] = [];
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const knob = kernel.knobs[name];
    if (!knob)
      throw new TypeError(`${kernel.name}: no knob is called ${name}; it has ${Object.keys(kernel.knobs).join(", ")}`);
    if (knob.kind === "override") constants[name] = Number(value);
    else if (knob.kind === "const")
      splices.push({ start: knob.start, end: knob.end, text: `const ${name}: ${knob.type} = ${knob.type}(${value});` });
    else splices.push({ start: knob.start, end: knob.end, text: `alias ${name} = ${value};` });
  }
  let code = kernel.source;
  splices.sort((a, b) => b.start - a.start);
  for (const { start, end, text } of splices) code = code.slice(0, start) + text + code.slice(end);
  if (splices.some((s) => /\bf16\b/.test(s.text))) code = `enable f16;\n${code}`;
  return { code, constants };
}
