// As `direct` of tile.wgsl, but the four invocations of a quad read one vector of a each and hand it to the others.
// Shapes: a 32 rows and b 32 columns of 64 numbers along K; y 32 x 32 a workgroup.
// Dispatch: any number of workgroups, each the same work. FLOPs: 2 * 32 * 32 * 64 * loops.

enable subgroups;

struct Params {
  loops: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;       // (32, 64)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;       // (64, 32)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (workgroups, 32, 32)

// c + (four elements of a row of a) times (four rows of b).
fn multiply(c: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return c + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

@compute @workgroup_size(8, 4)
fn direct(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var c4 = vec4f();
  var c5 = vec4f();
  var c6 = vec4f();
  var c7 = vec4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 8u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let right = mat4x4f(b[q], b[q + 8u], b[q + 16u], b[q + 24u]);
      let upper = a[p];
      c0 = multiply(c0, quadBroadcast(upper, 0u), right);
      c1 = multiply(c1, quadBroadcast(upper, 1u), right);
      c2 = multiply(c2, quadBroadcast(upper, 2u), right);
      c3 = multiply(c3, quadBroadcast(upper, 3u), right);
      let lower = a[p + 64u];
      c4 = multiply(c4, quadBroadcast(lower, 0u), right);
      c5 = multiply(c5, quadBroadcast(lower, 1u), right);
      c6 = multiply(c6, quadBroadcast(lower, 2u), right);
      c7 = multiply(c7, quadBroadcast(lower, 3u), right);
      p += 1u;
      q += 32u;
    }
  }
  let at = (group.x * 32u + local.y * 8u) * 8u + local.x;
  y[at] = c0;
  y[at + 8u] = c1;
  y[at + 16u] = c2;
  y[at + 24u] = c3;
  y[at + 32u] = c4;
  y[at + 40u] = c5;
  y[at + 48u] = c6;
  y[at + 56u] = c7;
}
