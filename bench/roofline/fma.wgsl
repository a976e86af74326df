// Peak of fused multiply-adds: four independent chains of vectors an invocation, nothing but registers between, and
// eight steps of each a turn of the loop, whose own work would count otherwise.
// Shapes: y holds a number for each invocation, so that no compiler may drop the work.
// Dispatch: one workgroup of 64 a 64 numbers of y. FLOPs: 2 * 4 * 4 * 8 * loops an invocation.

struct Params {
  loops: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (N)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let start = f32(id.x) * 1e-6;
  let scale = vec4f(0.999, 0.998, 0.997, 0.996);
  let shift = vec4f(start + 0.001);
  var a = vec4f(start);
  var b = a + 0.1;
  var c = a + 0.2;
  var d = a + 0.3;
  for (var i: u32 = 0u; i < params.loops; i++) {
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
  }
  let sum = a + b + c + d;
  if (id.x < arrayLength(&y)) {
    y[id.x] = sum.x + sum.y + sum.z + sum.w;
  }
}
