/** Every public name says what it is, and what takes tensors says of which shape. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";

const ENTRIES = [
  ...readdirSync("src/entries").map((file) => `src/entries/${file}`),
  "kernels/vite.ts",
  "kernels/describe.ts",
];

interface Declaration {
  readonly name: string;
  readonly file: string;
  /** Text of the comment right before it, or null. */
  readonly doc: string | null;
  /** From `export` to where its body or value begins. */
  readonly head: string;
  /** From there to its end. */
  readonly body: string;
}

const DECLARED = /^export (?:abstract )?(?:async )?(?:function\*?|class|interface|type|const) (\w+)\b/gm;

/** Names that a file exports: declared in it, or passed on from another. */
function exportsOf(file: string, text = readFileSync(file, "utf8")): Declaration[] {
  const found = [...text.matchAll(DECLARED)].map(({ 1: name = "", index }) => {
    const doc = /\/\*\*((?:(?!\*\/).)*)\*\/\n$/s.exec(text.slice(0, index))?.[1] ?? null;
    const head = /^.*?(?:\{\n|=>|;\n)/s.exec(text.slice(index))?.[0] ?? "";
    return { name, file, doc, head, body: /^.*?^\}/ms.exec(text.slice(index + head.length))?.[0] ?? "" };
  });
  // Of overloads the first speaks for all.
  const own = found.filter(({ name }, i) => found.findIndex((other) => other.name === name) === i);
  const passed = [...text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from "([^"]+)"/gm)].flatMap(
    ([, list = "", from = ""]) => {
      const there = exportsOf(normalize(join(dirname(file), from)));
      if (list === "*") return there;
      const names = [...list.matchAll(/(?:type )?(\w+)/g)].map(([, name = ""]) => name);
      return names.map(
        (name) => there.find((one) => one.name === name) ?? { name, file, doc: null, head: "", body: "" },
      );
    },
  );
  return [...own, ...passed];
}

/** Whether it is a function that takes or gives a tensor. */
const ofTensors = ({ head }: Declaration) =>
  /^export (?:async )?(?:function|const)/.test(head) && /\bTensor\b/.test(head);

const namesShape = ({ doc }: Declaration) => /\[[^\]]*\]|\bshapes?\b/i.test(doc ?? "");

/** Whether it is a function that refuses some of its arguments itself. */
const refuses = ({ head, body }: Declaration) =>
  /^export (?:async )?function/.test(head) && /\bthrow new |\bcheck[A-Z]\w*\(|\bfail\(/.test(body);

const all = ENTRIES.flatMap((entry) => exportsOf(entry));
const show = ({ file, name }: Declaration) => `${file}: ${name}`;

test("every public name has a docstring", () => {
  expect(all.length).toBeGreaterThan(200);
  expect(all.filter(({ doc }) => doc === null).map(show)).toEqual([]);
});

test("every public function of tensors names their shapes", () => {
  const functions = all.filter(ofTensors);
  expect(functions.length).toBeGreaterThan(70);
  expect(functions.filter((one) => !namesShape(one)).map(show)).toEqual([]);
});

test("every public function that refuses something says what, and by which class of error", () => {
  const functions = all.filter(refuses);
  expect(functions.length).toBeGreaterThan(60);
  expect(functions.filter(({ doc }) => !/@throws (\w*Error\b|as `)/.test(doc ?? "")).map(show)).toEqual([]);
});

test("no docstring begins a line as a link definition, which the reference would leave out", () => {
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const swallowed = files.filter((file) =>
    /^\s*(\/\*)?\* \[[^\]\n]*\]: /m.test(readFileSync(join("src", file), "utf8")),
  );
  expect(swallowed).toEqual([]);
});

describe("the checks themselves", () => {
  const text = [
    "/** Sum of a and b. */",
    "export function add(a: Tensor, b: Tensor): Tensor {",
    "  checkFloats(a, b);",
    "  return a;",
    "}",
    "export const bare = 1;",
    "/** [n] -> []",
    " *  of several lines */",
    "export const sum = (x: Tensor): Tensor => x;",
    "",
  ].join("\n");
  const found = exportsOf("a.ts", text);

  test("find what lacks a docstring, a shape or its errors", () => {
    expect(found.map(({ name, doc }) => [name, doc !== null])).toEqual([
      ["add", true],
      ["bare", false],
      ["sum", true],
    ]);
    expect(found.filter(ofTensors).map((one) => [one.name, namesShape(one)])).toEqual([
      ["add", false],
      ["sum", true],
    ]);
    expect(found.filter(refuses).map(({ name }) => name)).toEqual(["add"]);
  });
});
