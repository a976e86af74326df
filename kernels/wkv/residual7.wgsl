// RWKV-7's value residual: v = own + (first - own) s with s = sigmoid(v0 + dv).
// Backward: down = dy (1 - s), dfirst = dy s, d(v0 + dv) = dy (first - own) s (1 - s), which summed over the rows is dv0.
// Shapes: R rows of C channels. Planes (R, C) begin at multiples of `plane` values.
// Dispatch: ceil(R C / LANES) workgroups, an invocation a value.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

override LANES: u32 = 64u;  // invocations a workgroup

struct Params {
  count: u32,     // R C
  channels: u32,  // C
  plane: u32,     // values from a plane to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> own: array<f32>;          // (R, C)
@group(0) @binding(2) var<storage, read> first: array<f32>;        // (R, C)
@group(0) @binding(3) var<storage, read> mix: array<f32>;          // (R, C): dv
@group(0) @binding(4) var<storage, read> v0: array<f32>;           // (C)
@group(0) @binding(5) var<storage, read_write> v: array<f32>;      // (R, C)
@group(0) @binding(6) var<storage, read> dv: array<f32>;           // (R, C)
@group(0) @binding(7) var<storage, read_write> grads: array<f32>;  // (3, R, C): own, first, v0 + dv

fn sigmoid(x: f32) -> f32 {
  let e = exp(-min(abs(x), 80.0)); // bounded: from -80 to 0
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.count) {
    v[i] = own[i] + (first[i] - own[i]) * sigmoid(v0[i % params.channels] + mix[i]);
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.count) {
    let s = sigmoid(v0[i % params.channels] + mix[i]);
    grads[i] = dv[i] * (1.0 - s);
    grads[params.plane + i] = dv[i] * s;
    grads[2u * params.plane + i] = dv[i] * (first[i] - own[i]) * s * (1.0 - s);
  }
}
