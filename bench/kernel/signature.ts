/** What a kernel file says of its buffers: the shape in the comment behind each binding, and its element type. */
import type { Kernel } from "../../src/gpu/kernel.ts";

/** Words of four bytes that an element type takes. */
const WORDS: Readonly<Record<string, number>> = { f32: 1, u32: 1, i32: 1, vec2: 2, vec3: 4, vec4: 4 };

export interface Elements {
  /** Words of four bytes. */
  readonly count: number;
  readonly type: "f32" | "u32";
}

/** Value of a size: by name, else without regard to case, else a literal or a knob's default. */
function sizeOf(kernel: Kernel, text: string, sizes: Readonly<Record<string, number>>): number {
  const name = text.trim();
  if (/^\d+$/.test(name)) return Number(name);
  const same = Object.entries(sizes).find(([key]) => key.toLowerCase() === name.toLowerCase());
  if (same) return same[1];
  const initial = Object.entries(sizes).filter(([key]) => key[0]?.toLowerCase() === name.toLowerCase());
  if (initial.length === 1) return (initial[0] as [string, number])[1];
  const knob = kernel.knobs[name];
  if (knob) return Number.parseFloat(knob.value);
  throw new Error(`${kernel.name}: the size of ${name} is not known; give it with --size ${name}=…`);
}

/**
 * Elements of a binding: `--size NAME=…` by its own name wins, then the product of the shape in its comment, such as
 * `// (rows, C)`, in which a part may be a product or a sum.
 * @throws Error that says which size is missing
 */
export function bufferElements(kernel: Kernel, binding: string, sizes: Readonly<Record<string, number>>): Elements {
  const [type, shape] = declared(kernel, binding);
  const element = elementType(kernel, type);
  const kind = /^(f32|vec[234](f|<f32>))$/.test(element) ? "f32" : "u32";
  const words = WORDS[/^vec[234]/.exec(element)?.[0] ?? element] ?? 1;
  const own = sizes[binding];
  if (own !== undefined) return { count: own * words, type: kind };
  if (shape === undefined)
    throw new Error(`${kernel.name}: nothing says how long ${binding} is; give it with --size ${binding}=…`);
  const product = (text: string) => text.split("*").reduce((all, part) => all * sizeOf(kernel, part, sizes), 1);
  const count = shape
    .split(",")
    .reduce((all, part) => all * part.split("+").reduce((sum, p) => sum + product(p), 0), 1);
  // Shapes count elements as a user sees them: numbers, also where the kernel reads four at once.
  return { count: Math.ceil(Math.max(count, 1) / 4) * 4 * (words === 2 ? 2 : 1), type: kind };
}

/** Type of a binding and the shape in its comment, which may be another's: `// as x`. */
function declared({ source }: Kernel, binding: string): readonly [type: string, shape: string | undefined] {
  const of = (name: string) =>
    new RegExp(`var<storage[^>]*>\\s*${name}\\s*:\\s*([^;]+);\\s*(?://\\s*(?:\\(([^)]*)\\)|as (\\w+)))?`).exec(
      source,
    ) ?? [];
  const [, type = "", shape, other] = of(binding);
  return [type, shape ?? (other && other !== binding ? of(other)[2] : undefined)];
}

function elementType(kernel: Kernel, type: string): string {
  const inner = /array<\s*([\w<>]+?)\s*(,[^>]*)?>\s*$/.exec(type.trim())?.[1] ?? type.trim();
  const alias = kernel.knobs[inner];
  return alias?.kind === "alias" ? alias.value : inner;
}

/**
 * Workgroups of a launch: `--size groups=…` (also groups_y, groups_z), else enough for an invocation each element of
 * the largest written buffer.
 */
export function groupsOf(
  kernel: Kernel,
  entry: string,
  sizes: Readonly<Record<string, number>>,
): [number, number, number] {
  const { groups, groups_y = 1, groups_z = 1 } = sizes;
  if (groups !== undefined) return [groups, groups_y, groups_z];
  const { workgroupSize, bindings } = kernel.entries[entry] as Kernel["entries"][string];
  const lanes = workgroupSize
    .map((size) =>
      typeof size === "number" ? size : (sizes[size] ?? Number.parseFloat(kernel.knobs[size]?.value ?? "1")),
    )
    .reduce((all, size) => all * size, 1);
  const written = bindings.filter(({ access }) => access === "read_write");
  const largest = Math.max(1, ...written.map(({ name }) => bufferElements(kernel, name, sizes).count));
  return [Math.ceil(largest / lanes), groups_y, groups_z];
}
