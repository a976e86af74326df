/** The house rules of kernel files that no compiler checks. kernels/README.md gives the reasons. */
import { WgslParser } from "wgsl_reflect/wgsl_reflect.module.js";
import { strip } from "../../kernels/strip.ts";

/** The part of wgsl_reflect's syntax tree that the rules look at. */
interface Node {
  readonly astNodeType?: string;
  readonly name?: string;
  readonly line?: number;
  readonly start?: number;
  readonly end?: number;
  readonly value?: unknown;
  readonly operator?: string;
  readonly right?: Node;
  readonly args?: readonly (Node & { readonly type?: { getTypeName(): string } })[];
  readonly attributes?: readonly Node[] | null;
}

/** Calls whose result leaves the finite numbers on some argument, and the call around the argument that prevents it. */
const GUARDS: Readonly<Record<string, RegExp>> = {
  tanh: /^clamp$/,
  exp: /^(clamp|min)$/,
  exp2: /^(clamp|min)$/,
  log: /^(clamp|max)$/,
  log2: /^(clamp|max)$/,
  sinh: /^clamp$/,
  cosh: /^clamp$/,
};

function* walk(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const item of value) yield* walk(item);
  else if (typeof value === "object" && value !== null) {
    const node = value as Node;
    if (node.astNodeType) yield node;
    for (const [key, child] of Object.entries(value)) if (key !== "parent") yield* walk(child);
  }
}

/** `exp(min(x, 80.0))` and `exp(-abs(x))` are bounded by their form. */
function isGuarded(call: Node): boolean {
  const argument = call.args?.[0];
  const falls = call.name?.startsWith("exp") && argument?.operator === "-" && argument.right?.name === "abs";
  return falls || GUARDS[call.name!]!.test(argument?.name ?? "");
}

const functions = (source: string) =>
  (new WgslParser().parse(source) as unknown as Node[]).filter((n) => n.astNodeType === "function");

/** What is wrong with a kernel file, a sentence each that starts with the line. */
export function findFaults(source: string): string[] {
  const faults: string[] = [];
  const lines = source.split("\n");
  const head = lines
    .slice(
      0,
      lines.findIndex((line) => !line.startsWith("//")),
    )
    .join("\n");
  for (const part of ["Shapes:", "Dispatch:"])
    if (!head.includes(part)) faults.push(`1: the head comment has no "${part}"`);
  lines.forEach((line, index) => {
    if (/var<storage/.test(line) && !/;\s*\/\/.*(\(.+\)|\b(any|as) )/.test(line))
      faults.push(`${index + 1}: the binding does not end in a comment with its shape, such as // (B, T, C)`);
  });
  for (const fn of functions(source))
    for (const node of walk(fn)) {
      const line = node.line ?? 0;
      if (node.astNodeType === "var" && !node.value)
        faults.push(`${line}: var ${node.name} has no initial value; in a loop it would keep the last iteration's`);
      if (node.astNodeType !== "call" && node.astNodeType !== "callExpr") continue;
      if (!(node.name! in GUARDS) || fn.name?.startsWith("safe_") || isGuarded(node)) continue;
      if (lines.slice(Math.max(0, line - 2), line).some((text) => text.includes("// bounded:"))) continue;
      faults.push(
        `${line}: ${node.name} of an argument that may be out of range; bound it, or say why in // bounded: …`,
      );
    }
  return faults;
}

/** Text of each helper function (not entry points) without comments and blanks, by name and parameter types. */
export function helpers(source: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const fn of functions(source)) {
    if (fn.attributes?.some((a) => a.name === "compute")) continue;
    const types = fn.args?.map((a) => a.type?.getTypeName()).join(", ");
    found.set(`${fn.name}(${types})`, strip(source.slice(fn.start, fn.end)));
  }
  return found;
}
