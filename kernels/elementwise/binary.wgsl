// Elementwise functions of two tensors with broadcasting, and their derivatives: y = f(a, b), da = dy df/da, db = dy df/db.
// Shapes: y and dy are N elements, walked over 4 axes `sizes` (outermost first) with a step of a and b on each; a stretched
// axis has step 0. With vec4f elements all but stretched innermost steps are in vectors, and N/4 is rounded up (storage is padded).
// `backward` writes one gradient of the shape of y, `backward_both` both; the host sums them over stretched axes.
// Dispatch: ceil(words / BLOCK) workgroups, one element an invocation.
// Slopes at ties of maximum and minimum are halved, and the exponent gets none where the base is 0 or less, as in PyTorch (which says NaN below 0).

alias elem = vec4f;   // f32 where the innermost axis does not divide by 4
alias left = vec4f;   // f32 where a is stretched over the innermost axis
alias right = vec4f;  // f32 where b is
alias bits = vec4u;   // u32 with elem f32

override BLOCK: u32 = 64u;        // invocations a workgroup
override OP: u32 = 0u;            // which function, an index into the switch below (src/ops/binary.ts)
override RANK: u32 = 1u;          // axes in use
override CONSTANT: bool = false;  // b is the number params.value
override TO_B: bool = false;      // backward: write db instead of da

const TINY: f32 = 1.1754944e-38;
const LARGEST: f32 = 3.4028234e38;

struct Params {
  sizes: vec4u,
  astep: vec4u,  // steps of a
  bstep: vec4u,  // steps of b
  words: u32,    // elements to compute
  value: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<left>;         // (N) or stretched to it
@group(0) @binding(2) var<storage, read> b: array<right>;        // (N) or stretched to it
@group(0) @binding(3) var<storage, read_write> y: array<elem>;   // (N)
@group(0) @binding(4) var<storage, read> dy: array<elem>;        // (N)
@group(0) @binding(5) var<storage, read_write> da: array<elem>;  // (N)
@group(0) @binding(6) var<storage, read_write> db: array<elem>;  // (N)

// Index into an operand of element i of the walk.
fn place(i: u32, step: vec4u) -> u32 {
  if (RANK == 1u) {
    return i * step.w;
  }
  let d = i % params.sizes.w;
  let rest = i / params.sizes.w;
  if (RANK == 2u) {
    return rest * step.z + d * step.w;
  }
  let c = rest % params.sizes.z;
  let high = rest / params.sizes.z;
  return (high / params.sizes.y) * step.x + (high % params.sizes.y) * step.y + c * step.z + d * step.w;
}

fn load_a(i: u32) -> elem {
  return elem(a[place(i, params.astep)]);
}

fn load_b(i: u32) -> elem {
  if (CONSTANT) {
    return elem(params.value);
  }
  return elem(b[place(i, params.bstep)]);
}

fn not_a_number() -> elem {
  // From a value known only at run time: compilers refuse a constant NaN.
  return elem(bitcast<f32>(0x7fc00000u | (params.words & 1u)));
}

// 2^x without overflow, and exactly 0 where the result would be subnormal.
fn safe_exp2(x: elem) -> elem {
  return select(exp2(clamp(x, elem(-126.0), elem(127.99999))), elem(0.0), x < elem(-126.0));
}

// u^v: a negative base takes whole exponents; with others the result is NaN.
fn power(u: elem, v: elem) -> elem {
  let size = safe_exp2(v * log2(max(abs(u), elem(TINY))));
  let odd = abs(v - 2.0 * floor(0.5 * v)) == elem(1.0);
  let signed = select(select(not_a_number(), size, floor(v) == v), -size, odd);
  let at_zero = select(elem(0.0), elem(LARGEST), v < elem(0.0));
  let general = select(select(size, signed, u < elem(0.0)), at_zero, u == elem(0.0));
  return select(general, elem(1.0), v == elem(0.0));
}

// NaN of either operand is kept; the built-in min and max may drop it.
fn keep_nan(u: elem, v: elem, y: elem) -> elem {
  let largest = bits(0x7f800000u);
  let sign = bits(0x7fffffffu);
  return select(select(y, v, (bitcast<bits>(v) & sign) > largest), u, (bitcast<bits>(u) & sign) > largest);
}

fn value(u: elem, v: elem) -> elem {
  switch (OP) {
    case 0u: { return u + v; }
    case 1u: { return u - v; }
    case 2u: { return u * v; }
    case 3u: { return u / v; }
    case 4u: { return keep_nan(u, v, max(u, v)); }
    case 5u: { return keep_nan(u, v, min(u, v)); }
    case 6u: { return keep_nan(u, v, power(u, v)); }
    default: { return u; }
  }
}

// df/da at (u, v).
fn slope_a(u: elem, v: elem) -> elem {
  switch (OP) {
    case 2u: { return v; }
    case 3u: { return 1.0 / v; }
    case 4u: { return select(select(elem(0.0), elem(0.5), u == v), elem(1.0), u > v); }
    case 5u: { return select(select(elem(0.0), elem(0.5), u == v), elem(1.0), u < v); }
    case 6u: { return select(v * power(u, v - 1.0), elem(0.0), v == elem(0.0)); }
    default: { return elem(1.0); }
  }
}

// df/db at (u, v).
fn slope_b(u: elem, v: elem) -> elem {
  switch (OP) {
    case 1u: { return elem(-1.0); }
    case 2u: { return u; }
    case 3u: { return -u / (v * v); }
    case 4u: { return select(select(elem(0.0), elem(0.5), u == v), elem(1.0), u < v); }
    case 5u: { return select(select(elem(0.0), elem(0.5), u == v), elem(1.0), u > v); }
    case 6u: { return select(elem(0.0), power(u, v) * log(max(u, elem(TINY))), u > elem(0.0)); }
    default: { return elem(1.0); }
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
    y[i] = value(load_a(i), load_b(i));
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
    let u = load_a(i);
    let v = load_b(i);
    if (TO_B) {
      y[i] = dy[i] * slope_b(u, v);
    } else {
      y[i] = dy[i] * slope_a(u, v);
    }
  }
}

@compute @workgroup_size(BLOCK)
fn backward_both(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let u = load_a(i);
    let v = load_b(i);
    let d = dy[i];
    da[i] = d * slope_a(u, v);
    db[i] = d * slope_b(u, v);
  }
}
