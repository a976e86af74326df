// A gate: out = y f(g), where f is the sigmoid or, with SILU, f(g) = g sigmoid(g).
// Backward: dy = dout f(g), dg = dout y f'(g).
// Shapes: every tensor is N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes); `grads` takes dy,
// and dg from vector `plane` on.
// Dispatch: ceil(words / LANES) workgroups, one vector an invocation.
// Source: Peng et al. 2023, https://arxiv.org/abs/2305.13048; 2024, https://arxiv.org/abs/2404.05892.

override LANES: u32 = 64u;     // invocations a workgroup
override SILU: bool = false;   // f(g) = g sigmoid(g)

struct Params {
  words: u32,   // vectors of 4 elements
  plane: u32,   // where dg begins in grads
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;            // (N)
@group(0) @binding(2) var<storage, read> gate: array<vec4f>;         // (N)
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;    // (N)
@group(0) @binding(4) var<storage, read> dout: array<vec4f>;         // (N)
@group(0) @binding(5) var<storage, read_write> grads: array<vec4f>;  // (2, N)

// exp without overflow, and exactly 0 where the result would be subnormal.
fn safe_exp(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(88.7))), vec4f(0.0), x < vec4f(-87.0));
}

fn sigmoid(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + safe_exp(-x));
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.words) {
    let g = gate[i];
    var share = sigmoid(g);
    if (SILU) {
      share *= g;
    }
    out[i] = y[i] * share;
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.words) {
    let g = gate[i];
    let s = sigmoid(g);
    var share = s;
    var slope = s * (1.0 - s);
    if (SILU) {
      slope = s * (1.0 + g * (1.0 - s));
      share *= g;
    }
    grads[i] = dout[i] * share;
    grads[params.plane + i] = dout[i] * y[i] * slope;
  }
}
