// Bandwidth of workgroup memory: every invocation reads vectors of a tile, neighbours from neighbouring places.
// Shapes: y holds a number for each invocation, so that no compiler may drop the work.
// Dispatch: one workgroup of 64 a 64 numbers of y. Bytes: 16 * 4 * loops an invocation.

struct Params {
  loops: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // (N)

var<workgroup> tile: array<vec4f, 256>;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  for (var i: u32 = lane; i < 256u; i += 64u) {
    tile[i] = vec4f(f32(i));
  }
  workgroupBarrier();
  var sum = vec4f(0.0);
  for (var i: u32 = 0u; i < params.loops; i++) {
    let at = (lane + i) & 63u;
    sum += tile[at] + tile[at + 64u] + tile[at + 128u] + tile[at + 192u];
  }
  if (id.x < arrayLength(&y)) {
    y[id.x] = sum.x + sum.y + sum.z + sum.w;
  }
}
