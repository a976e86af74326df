// Norm of all gradients together, and from it what the optimizer step needs.
//   partial: per workgroup, sum |g|^2 (or |g|, or max |g|) and the count of non-finite values
//   finish:  norm, clip factor min(1, limit / (norm + 1e-6)), whether to skip the step, step count,
//            bias corrections 1 - beta^t of Adam by the recurrence c = c beta + (1 - beta), which does not cancel
// Squares of values above 1e15 are summed apart, scaled by 2^-128, so that the norm of [1e20, 1e20] is right
// (Blue 1978, https://doi.org/10.1145/355769.355771).
// Shapes: grad is the flat gradient buffer, N/4 vectors; blocks has one word for each 64 elements:
// group << 8 | valid elements (0: no gradient this time). partials has one vec4 a workgroup.
// Dispatch: partial with `stride / BLOCK` workgroups; finish with one.

override BLOCK: u32 = 64u;   // invocations a workgroup
override NORM: u32 = 2u;     // 2: Euclidean; 1: sum of magnitudes; 0: largest magnitude

const PARTS: u32 = 8u;       // at most BLOCK
const BIG: f32 = 1.0e15;
const DOWN: f32 = 5.421010862427522e-20;  // 2^-64
const UP: f32 = 1.8446744073709552e19;    // 2^64

struct Params {
  words: u32,       // vectors of 4 elements in grad
  stride: u32,      // vectors that one sweep of all workgroups covers
  at: u32,          // first partial of this buffer
  partials: u32,    // partials over all buffers
  limit: f32,       // largest norm; 0: no clipping
  one_minus_beta1: f32,
  one_minus_beta2: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;            // (N)
@group(0) @binding(2) var<storage, read> blocks: array<u32>;            // (N/64)
@group(0) @binding(3) var<storage, read_write> partials: array<vec4f>;  // (partials): sum, big sum, non-finite, unused
@group(0) @binding(4) var<storage, read_write> control: array<f32>;     // (8), see src/optim/control.ts

var<workgroup> lanes: array<vec4f, BLOCK>;

fn non_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

fn combine(a: vec4f, b: vec4f) -> vec4f {
  if (NORM == 0u) {
    return vec4f(max(a.x, b.x), 0.0, a.z + b.z, 0.0);
  }
  return a + b;
}

fn add_value(total: vec4f, g: f32) -> vec4f {
  if (non_finite(g)) {
    return total + vec4f(0.0, 0.0, 1.0, 0.0);
  }
  let size = abs(g);
  if (NORM != 2u) {
    return combine(total, vec4f(size, 0.0, 0.0, 0.0));
  }
  if (size > BIG) {
    return total + vec4f(0.0, (size * DOWN) * (size * DOWN), 0.0, 0.0);
  }
  return total + vec4f(size * size, 0.0, 0.0, 0.0);
}

// Combines the lanes' values in a fixed order, first to PARTS and then to one; every lane must call it.
fn combine_lanes(value: vec4f, lane: u32) -> vec4f {
  lanes[lane] = value;
  workgroupBarrier();
  if (lane < PARTS) {
    var part = value;
    for (var i = lane + PARTS; i < BLOCK; i += PARTS) {
      part = combine(part, lanes[i]);
    }
    lanes[lane] = part;
  }
  workgroupBarrier();
  var total = vec4f(0.0);
  for (var i = 0u; i < PARTS; i++) {
    total = combine(total, lanes[i]);
  }
  return total;
}

@compute @workgroup_size(BLOCK)
fn partial(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var total = vec4f(0.0);
  for (var i = group.x * BLOCK + lane; i < params.words; i += params.stride) {
    let valid = blocks[i / 16u] & 0xffu;
    let first = (i % 16u) * 4u;
    let g = grad[i];
    for (var e = 0u; e < 4u; e++) {
      if (first + e < valid) {
        total = add_value(total, g[e]);
      }
    }
  }
  let sum = combine_lanes(total, lane);
  if (lane == 0u) {
    partials[params.at + group.x] = sum;
  }
}

@compute @workgroup_size(BLOCK)
fn finish(@builtin(local_invocation_index) lane: u32) {
  var total = vec4f(0.0);
  for (var i = lane; i < params.partials; i += BLOCK) {
    total = combine(total, partials[i]);
  }
  let sum = combine_lanes(total, lane);
  if (lane == 0u) {
    var norm = sum.x;
    if (NORM == 2u) {
      norm = sqrt(sum.x);
      if (sum.y > 0.0) {
        norm = UP * sqrt(sum.y + sum.x * DOWN * DOWN);
      }
    }
    let skip = sum.z > 0.0;
    control[0] = norm;
    control[1] = select(1.0, min(1.0, params.limit / (norm + 1.0e-6)), params.limit > 0.0);
    control[2] = select(0.0, 1.0, skip);
    if (skip) {
      control[4] += 1.0;
    } else {
      control[3] += 1.0;
      control[5] = control[5] * (1.0 - params.one_minus_beta1) + params.one_minus_beta1;
      control[6] = control[6] * (1.0 - params.one_minus_beta2) + params.one_minus_beta2;
    }
  }
}
