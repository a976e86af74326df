// Snake: y = x + sin(a x)^2 / a, whose slope is 1 + sin(2 a x). A network of it learns what repeats.
//
// Shapes: x, dy and y are any shape of `size` elements
// Dispatch: ceil(size / 64) workgroups, an element an invocation
// Source: Ziyin, Hartwig and Ueda 2020, "Neural Networks Fail to Learn Periodic Functions and How to Fix It"

struct Params {
  size: u32,
  a: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [size]
@group(0) @binding(2) var<storage, read> dy: array<f32>;       // [size]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [size]: the result, or the gradient of x

// More workgroups than a dimension holds come folded into two.
fn elementOf(group: vec3u, groups: vec3u, invocation: u32) -> u32 {
  return (group.x + group.y * groups.x) * 64u + invocation;
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let i = elementOf(group, groups, invocation);
  if (i >= params.size) {
    return;
  }
  let s = sin(params.a * x[i]);
  y[i] = x[i] + s * s / params.a;
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) invocation: u32,
) {
  let i = elementOf(group, groups, invocation);
  if (i >= params.size) {
    return;
  }
  y[i] = dy[i] * (1.0 + sin(2.0 * params.a * x[i]));
}
