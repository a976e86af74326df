// One Adam or AdamW step over all parameters at once.
//   g = clip g (+ decay p)         m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//   p = p (1 - lr decay)           (AdamW: decoupled decay first, instead of the term in g)
//   p = p - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// amsgrad keeps the largest v so far in the root. Nothing changes in a step whose gradient is not finite.
// Kingma and Ba 2014, https://arxiv.org/abs/1412.6980; Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101;
// Reddi et al. 2018, https://arxiv.org/abs/1904.09237.
// Shapes: flat buffers of N/4 vectors; blocks one word for each 64 elements: group << 8 | valid; groups one vec4 each.
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;          // invocations a workgroup
override DECOUPLED: bool = true;    // AdamW; false: decay is added to the gradient

struct Params {
  words: u32,
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,  // rounded from the exact difference
  one_minus_beta2: f32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<vec4f>;      // (N)
@group(0) @binding(2) var<storage, read> grad: array<vec4f>;         // (N)
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;      // (N)
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;      // (N)
@group(0) @binding(5) var<storage, read> blocks: array<u32>;         // (N/64)
@group(0) @binding(6) var<storage, read> groups: array<vec4f>;       // (groups): learning rate, weight decay
@group(0) @binding(7) var<storage, read> control: array<f32>;        // (8), see src/optim/control.ts
@group(0) @binding(8) var<storage, read_write> largest: array<vec4f>; // (N), amsgrad only

fn new_moments(i: u32, group: vec4f) -> vec4f {
  var g = grad[i] * control[1];
  if (DECOUPLED) {
    p[i] = p[i] * (1.0 - group.x * group.y);
  } else {
    g += group.y * p[i];
  }
  m[i] = params.beta1 * m[i] + params.one_minus_beta1 * g;
  v[i] = params.beta2 * v[i] + params.one_minus_beta2 * g * g;
  return v[i];
}

fn descend(i: u32, group: vec4f, second: vec4f) {
  let denominator = sqrt(second) / sqrt(control[6]) + params.eps;
  p[i] -= (group.x / control[5]) * (m[i] / denominator);
}

@compute @workgroup_size(BLOCK)
fn adam(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) counts: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * counts.x) * BLOCK + lane;
  if (i < params.words && control[2] == 0.0) {
    let entry = blocks[i / 16u];
    if ((entry & 0xffu) > 0u) {
      let values = groups[entry >> 8u];
      descend(i, values, new_moments(i, values));
    }
  }
}

@compute @workgroup_size(BLOCK)
fn amsgrad(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) counts: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * counts.x) * BLOCK + lane;
  if (i < params.words && control[2] == 0.0) {
    let entry = blocks[i / 16u];
    if ((entry & 0xffu) > 0u) {
      let values = groups[entry >> 8u];
      largest[i] = max(largest[i], new_moments(i, values));
      descend(i, values, largest[i]);
    }
  }
}
