// One step of retention: S = e^w S + k^T v, o = q S; what states.wgsl and attend.wgsl do for a chunk, in one launch.
// Shapes: B batch, H heads, K channels of q and k, V of v, G heads of q and k (H / G share one).
// Dispatch: an invocation for a value channel of a head: ceil(B H V / 64).
// Source: Sun et al. 2023, https://arxiv.org/abs/2307.08621, equation 6.

override GIVEN: bool = false;      // there is a state before

struct Params {
  heads: u32,      // H
  all: u32,        // B H
  key_size: u32,   // K
  size: u32,       // V
  key_heads: u32,  // G
  w_sample: u32,   // values from a batch entry's w to the next's: 0 if all have the same
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;            // (B, 1, G, K)
@group(0) @binding(2) var<storage, read> k: array<f32>;            // (B, 1, G, K)
@group(0) @binding(3) var<storage, read> v: array<f32>;            // (B, 1, H, V)
@group(0) @binding(4) var<storage, read> w: array<f32>;            // (B, 1, H) or (H)
@group(0) @binding(5) var<storage, read> before: array<f32>;       // (B, H, K, V)
@group(0) @binding(6) var<storage, read_write> o: array<f32>;      // (B, 1, H, V)
@group(0) @binding(7) var<storage, read_write> after: array<f32>;  // (B, H, K, V)

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let head = id / params.size;
  if (head < params.all) {
    let b = head / params.heads;
    let h = head % params.heads;
    let keys = (b * params.key_heads + h / (params.heads / params.key_heads)) * params.key_size;
    let fade = exp(min(w[b * params.w_sample + h], 80.0));
    let value = v[id];
    var sum = 0.0;
    for (var i = 0u; i < params.key_size; i++) {
      let at = (head * params.key_size + i) * params.size + id % params.size;
      var s = k[keys + i] * value;
      if (GIVEN) {
        s += fade * before[at];
      }
      after[at] = s;
      sum += q[keys + i] * s;
    }
    o[id] = sum;
  }
}
