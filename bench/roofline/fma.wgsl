// Peak of fused multiply-adds: eight independent chains of vectors an invocation, nothing but registers between.
// Shapes: y holds a number for each invocation, so that no compiler may drop the work.
// Dispatch: one workgroup of 64 a 64 numbers of y. FLOPs: 2 * 4 * 8 * loops an invocation.

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
  var e = a + 0.4;
  var f = a + 0.5;
  var g = a + 0.6;
  var h = a + 0.7;
  for (var i: u32 = 0u; i < params.loops; i++) {
    a = fma(a, scale, shift);
    b = fma(b, scale, shift);
    c = fma(c, scale, shift);
    d = fma(d, scale, shift);
    e = fma(e, scale, shift);
    f = fma(f, scale, shift);
    g = fma(g, scale, shift);
    h = fma(h, scale, shift);
  }
  let sum = a + b + c + d + e + f + g + h;
  if (id.x < arrayLength(&y)) {
    y[id.x] = sum.x + sum.y + sum.z + sum.w;
  }
}
