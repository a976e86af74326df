// Elementwise functions of one tensor and their derivatives: y = f(x), dx = dy f'(x).
// Shapes: every tensor is N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes).
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation. `backward` reads x or, for exp, tanh
// and sigmoid, the result y in its place.
// Sources: GELU, Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415; erfc by the rational
// approximation 7.1.26 of Abramowitz and Stegun in its complementary form; softplus as in PyTorch.

override BLOCK: u32 = 64u;  // invocations a workgroup
override OP: u32 = 0u;      // which function, an index into the switch below (src/ops/unary.ts)

const LARGEST: f32 = 3.4028234e38;

struct Params {
  words: u32,   // vectors of 4 elements
  scale: f32,   // affine: y = scale * x + shift
  shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (N)
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (N)
@group(0) @binding(3) var<storage, read> dy: array<vec4f>;       // (N)

// exp without overflow, and exactly 0 where the result would be subnormal.
fn safe_exp(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(88.7))), vec4f(0.0), x < vec4f(-87.0));
}

fn safe_log(x: vec4f) -> vec4f {
  return log(max(x, vec4f(1.1754944e-38)));
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

// log(1 + e^x) without overflow or cancellation.
fn softplus(x: vec4f) -> vec4f {
  let small = safe_exp(-abs(x));
  let series = small * (1.0 - small * (0.5 - small * (1.0 / 3.0)));
  return max(x, vec4f(0.0)) + select(safe_log(1.0 + small), series, small < vec4f(0.01));
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

fn value(v: vec4f) -> vec4f {
  switch (OP) {
    case 0u: { return params.scale * v + params.shift; }
    case 1u: { return safe_exp(v); }
    case 2u: { return safe_log(v); }
    case 3u: { return sqrt(max(v, vec4f(0.0))); }
    case 4u: { return abs(v); }
    case 5u: { return v * v; }
    case 6u: { return safe_tanh(v); }
    case 7u: { return sigmoid(v); }
    case 8u: { return select(v, vec4f(0.0), v < vec4f(0.0)); }
    case 9u: { return select(v * v, vec4f(0.0), v < vec4f(0.0)); }
    case 10u: { return v * normal_cdf(v); }
    case 11u: { return 0.5 * v * (1.0 + gelu_tanh_inner(v)); }
    case 12u: { return v * sigmoid(v); }
    case 13u: { return select(softplus(v), v, v > vec4f(20.0)); }
    case 14u: { return -softplus(-v); }
    case 15u: { return 1.0 / v; }
    default: { return v; }
  }
}

// f'(x) at v = x, or v = y where the comment says so.
fn slope(v: vec4f) -> vec4f {
  switch (OP) {
    case 0u: { return vec4f(params.scale); }
    case 1u: { return v; }                        // v = y
    case 2u: { return 1.0 / max(v, vec4f(1.1754944e-38)); }
    case 3u: { return min(0.5 / sqrt(max(v, vec4f(0.0))), vec4f(LARGEST)); }
    case 4u: { return sign(v); }
    case 5u: { return 2.0 * v; }
    case 6u: { return 1.0 - v * v; }              // v = y
    case 7u: { return v * (1.0 - v); }            // v = y
    case 8u: { return select(vec4f(0.0), vec4f(1.0), v > vec4f(0.0)); }
    case 9u: { return 2.0 * max(v, vec4f(0.0)); }
    case 10u: { return normal_cdf(v) + v * 0.3989422804014327 * safe_exp(-0.5 * v * v); }
    case 11u: {
      let t = gelu_tanh_inner(v);
      let bounded = clamp(v, vec4f(-30.0), vec4f(30.0));
      let inner = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * bounded * bounded);
      return 0.5 * (1.0 + t) + 0.5 * bounded * (1.0 - t * t) * inner;
    }
    case 12u: {
      let s = sigmoid(v);
      return s * (1.0 + v * (1.0 - s));
    }
    case 13u: { return select(sigmoid(v), vec4f(1.0), v > vec4f(20.0)); }
    case 14u: { return sigmoid(-v); }
    case 15u: { return -1.0 / (v * v); }
    default: { return vec4f(1.0); }
  }
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let v = x[i];
    // A NaN stays: the bounds of the functions above may have replaced it.
    y[i] = select(value(v), v, (bitcast<vec4u>(v) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u));
  }
}

@compute @workgroup_size(BLOCK)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = dy[i] * slope(x[i]);
  }
}
