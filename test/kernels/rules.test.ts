import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { kernelNames, loadKernel } from "../../kernels/plugin.ts";
import { findFaults, helpers } from "./rules.ts";

const NAMES = kernelNames();
const read = (name: string) => readFileSync(`kernels/${name}.wgsl`, "utf8");

describe("every kernel file", () => {
  test.each(NAMES)("%s keeps the house rules", (name) => {
    expect(findFaults(read(name)).map((fault) => `kernels/${name}.wgsl:${fault}`)).toEqual([]);
  });

  test.each(kernelNames({ folder: "bench/roofline" }))("%s of the bench keeps them too", (name) => {
    expect(findFaults(readFileSync(`bench/roofline/${name}.wgsl`, "utf8"))).toEqual([]);
  });

  test.each(NAMES)("%s says the same when a production build strips it", (name) => {
    const { source: long, knobs: before, ...rest } = loadKernel({}, name);
    const { source: short, knobs: after, ...stripped } = loadKernel({}, name, true);
    expect(stripped).toEqual(rest);
    expect(short.length).toBeLessThan(long.length);
    expect(Object.keys(after)).toEqual(Object.keys(before));
    for (const [key, { start, end }] of Object.entries(after))
      expect(short.slice(start, end)).toMatch(new RegExp(`^(override|const|alias) ${key}\\b.*;$`));
  });

  test("helper functions of one name have one body", () => {
    const seen = new Map<string, { file: string; body: string }>();
    const different: string[] = [];
    for (const name of NAMES)
      for (const [signature, body] of helpers(read(name))) {
        const first = seen.get(signature);
        if (!first) seen.set(signature, { file: name, body });
        else if (first.body !== body) different.push(`${signature} differs between ${first.file} and ${name}`);
      }
    expect(different).toEqual([]);
  });
});

describe("the rules", () => {
  const head = "// y = f(x)\n// Shapes: N elements.\n// Dispatch: one invocation an element.\n";

  const faultsOf = (body: string) => findFaults(`${head}fn f(x: f32) -> f32 {\n${body}\n}\n`);

  test.each([
    ["a var without a value", "var sum: f32; return sum;", "4: var sum"],
    ["one in a loop", "for (var i: u32; i < 3u; i++) { } return x;", "5: var i"],
    ["tanh", "return tanh(x);", "5: tanh"],
    ["exp behind another call", "return 1.0 + max(exp(x), 0.0);", "5: exp"],
    ["exp bounded on the wrong side", "return exp(max(x, 0.0));", "5: exp"],
    ["log bounded on the wrong side", "return log(min(x, 1.0));", "5: log"],
  ])("find %s", (_, body, fault) => {
    const [first] = faultsOf(body);
    expect(first?.slice(2)).toMatch(new RegExp(`^${fault.slice(2)} `));
    expect(faultsOf(body)).toHaveLength(1);
  });

  test.each([
    ["guards by form", "return tanh(clamp(x, -15.0, 15.0)) + exp(min(x, 80.0)) + log(max(x, 1e-30)) + exp(-abs(x));"],
    ["a reason on the line", "return exp(x); // bounded: x <= 0"],
    ["a reason above it", "// bounded: x <= 0\nreturn exp(x);"],
  ])("accept %s", (_, body) => {
    expect(faultsOf(body)).toEqual([]);
  });

  test("ask for the parts of the head comment and for shapes", () => {
    const faults = findFaults("// y = x\n@group(0) @binding(0) var<storage, read> x: array<f32>; // input\n");
    expect(faults).toHaveLength(3);
    expect(faults.join()).toMatch(/Shapes:.*Dispatch:.*2: the binding/);
  });

  test("tell helpers of one name apart by parameter types", () => {
    const source = "fn f(x: f32) -> f32 { return x; /* same */ }\n@compute @workgroup_size(1) fn main() {}";
    expect([...helpers(source)]).toEqual([["f(f32)", "fn f(x:f32)->f32{return x;}"]]);
  });
});
