// Sum of the parts of a product that was split along K: y = activation(sum over s of parts[s] + bias), or added to y.
// Shapes: parts (S, Z, M, N), y (Z, M, N); size = Z M N.
// The parts are added in their order, so that results repeat bit by bit.
// Dispatch: ceil(size / BLOCK) workgroups, one element an invocation.

override BLOCK: u32 = 64u;             // invocations a workgroup
override BIAS: bool = false;           // add bias to every row
override ACTIVATION: u32 = 0u;         // a number of elementwise/unary.wgsl
override ADD: bool = false;            // y += result

struct Params {
  N: u32,
  size: u32,
  splits: u32,  // S
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<f32>;     // (S, Z, M, N)
@group(0) @binding(2) var<storage, read> bias: array<f32>;      // (N)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // (Z, M, N)

// exp without overflow, and exactly 0 where the result would be subnormal.
fn safe_exp(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(88.7))), vec4f(0.0), x < vec4f(-87.0));
}

fn sigmoid(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + safe_exp(-x));
}

// By series near 0, where 1 - 2 / (e^2x + 1) cancels; the built-in is NaN from 89 on some devices.
fn safe_tanh(x: vec4f) -> vec4f {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, vec4f(-30.0), vec4f(30.0))) + 1.0);
  return select(whole, series, abs(x) < vec4f(0.1));
}

// Phi(x), the normal distribution function.
fn normal_cdf(x: vec4f) -> vec4f {
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * polynomial * safe_exp(-z * z);
  return select(tail, 1.0 - tail, x > vec4f(0.0));
}

fn gelu_tanh_inner(x: vec4f) -> vec4f {
  let bounded = clamp(x, vec4f(-30.0), vec4f(30.0));
  return safe_tanh(0.7978845608028654 * (bounded + 0.044715 * bounded * bounded * bounded));
}

// The functions of elementwise/unary.wgsl, by their numbers there; 0 is the identity.
fn activate(v: vec4f) -> vec4f {
  switch (ACTIVATION) {
    case 6u: { return safe_tanh(v); }
    case 7u: { return sigmoid(v); }
    case 8u: { return select(v, vec4f(0.0), v < vec4f(0.0)); }
    case 9u: { return select(v * v, vec4f(0.0), v < vec4f(0.0)); }
    case 10u: { return v * normal_cdf(v); }
    case 11u: { return 0.5 * v * (1.0 + gelu_tanh_inner(v)); }
    case 12u: { return v * sigmoid(v); }
    default: { return v; }
  }
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.size) {
    var sum = 0.0;
    for (var s = 0u; s < params.splits; s++) {
      sum += parts[s * params.size + i];
    }
    if (BIAS) {
      sum += bias[i % params.N];
    }
    sum = activate(vec4f(sum)).x;
    if (ADD) {
      sum += y[i];
    }
    y[i] = sum;
  }
}
