import { expect, describe as group, test } from "vitest";
import { describe } from "../../kernels/describe.ts";
import { declaration } from "../../kernels/plugin.ts";
import { strip } from "../../kernels/strip.ts";
import { specialise } from "../../src/gpu/kernel.ts";

const SAMPLE = `// y = a x
alias elem = f32;           // storage type
const WIDTH: u32 = 4u;      // elements an invocation
const TABLE = array<u32, 2>(1u, 2u);
override BLOCK: u32 = 64u;

struct Params {
  rows: u32,
  start: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;        // (N)
@group(0) @binding(2) var<storage, read_write> y: array<elem>;  // (N)
@group(0) @binding(3) var<storage, read_write> sum: array<f32>; // (1)

fn get(i: u32) -> f32 { return f32(x[i]); }
fn twice(i: u32) -> f32 { return get(i) + get(i); }

@compute @workgroup_size(BLOCK)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.rows) { y[id.x] = elem(twice(id.x)) * elem(TABLE[0] * WIDTH); }
}

@compute @workgroup_size(8, 2)
fn total() { let x = 1.0; sum[0] = x; }
`;

group("describe", () => {
  const kernel = describe(SAMPLE, "family/sample");

  test("gives an entry point the bindings that it reaches, through functions too", () => {
    expect(kernel.entries.forward).toEqual({
      workgroupSize: ["BLOCK"],
      bindings: [
        { name: "params", binding: 0, access: "uniform" },
        { name: "x", binding: 1, access: "read" },
        { name: "y", binding: 2, access: "read_write" },
      ],
    });
    expect(kernel.entries.total).toEqual({
      workgroupSize: [8, 2],
      bindings: [{ name: "sum", binding: 3, access: "read_write" }],
    });
  });

  test("gives offsets of the uniform struct and its size in whole 16 bytes", () => {
    const fields = { rows: { offset: 0, type: "u32" }, start: { offset: 16, type: "vec4u" } };
    expect(kernel.params).toEqual({ size: 32, fields });
  });

  test("finds the knobs, which specialise sets by span", () => {
    expect(Object.keys(kernel.knobs)).toEqual(["elem", "WIDTH", "BLOCK"]);
    const { code, constants } = specialise(kernel, { elem: "i32", WIDTH: 8, BLOCK: 128 });
    expect(code).toContain("alias elem = i32;           // storage type\nconst WIDTH: u32 = u32(8);      // elements");
    expect(constants).toEqual({ BLOCK: 128 });
  });

  test("writes literal types", () => {
    const text = declaration(kernel).replace(/\s+/g, " ");
    expect(text).toContain('readonly WIDTH: { readonly kind: "const"; readonly type: "u32"; readonly value: string;');
    expect(text).toContain('readonly "start": { readonly "offset": 16; readonly "type": "vec4u"; };');
    expect(text).toContain('readonly "workgroupSize": readonly [8, 2];');
  });

  const binding = (text: string) => SAMPLE.replace("@group(0) @binding(3)", text);
  test.each([
    ["a hole in the numbers", binding("@group(0) @binding(4)"), "binding sum has number 4, expected 3"],
    ["another group", binding("@group(1) @binding(3)"), "binding sum is in group 1"],
    ["an unused binding", SAMPLE.replace("sum[0] = x;", ""), "binding sum is used by no entry point"],
    ["an override without default", SAMPLE.replace(" = 64u", ""), "override BLOCK has no default"],
    ["a syntax error", SAMPLE.replace("fn total()", "fn total("), "Line: 26"],
    ["a file without entry point", "// nothing\n", "no @compute entry point"],
  ])("refuses %s and names the file", (_, source, message) => {
    expect(() => describe(source, "family/sample")).toThrow("family/sample.wgsl");
    expect(() => describe(source, "family/sample")).toThrow(message);
  });
});

group("strip", () => {
  test.each([
    ["a  -  -b", "a- -b"],
    ["a - b", "a-b"],
    ["x & &y", "x& &y"],
    ["let a /* one /* nested */ comment */ = 1.0; // rest\nreturn a;", "let a=1.0;return a;"],
    ["a / /* not a comment end */ b", "a/b"],
    ["@compute @workgroup_size(64)\nfn f() -> u32 { }", "@compute@workgroup_size(64)fn f()->u32{}"],
    ["array<vec2<f32> >", "array<vec2<f32> >"],
  ])("%j becomes %j", (source, expected) => {
    expect(strip(source)).toBe(expected);
    expect(strip(expected)).toBe(expected);
  });
});
