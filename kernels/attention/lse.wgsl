// Logarithm of the sum of exponentials of each row of scores, lse = m + log l from its maximum and its sum; -inf where l is 0.
// Shapes: N = B H Tq rows.
// Dispatch: ceil(N / 64) workgroups, one row an invocation.

struct Params {
  rows: u32,   // N
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norms: array<vec2f>;     // (N) of (maximum, sum), of forward.wgsl
@group(0) @binding(2) var<storage, read_write> lse: array<u32>;   // (N), bits of f32: arithmetic may not yield infinity

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i < params.rows) {
    let norm = norms[i];
    lse[i] = select(bitcast<u32>(norm.x + log(max(norm.y, 1.1754944e-38))), 0xff800000u, norm.y == 0.0);
  }
}
