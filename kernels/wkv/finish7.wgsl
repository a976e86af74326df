// What follows RWKV-7's recurrence: the present token's own value by its bonus, then the gate, each head of each token at once:
//   s = sum over a head of r key bonus,  out = (y + s v) gate
// Backward, with h = dout gate and ds = sum over a head of h v:
//   dy = h,  dv = h s,  dgate = dout (y + s v),  dr = ds key bonus,  dkey = ds r bonus,  dbonus = sum over rows of ds r key
// Shapes: R = B T rows, H heads of N channels, C = H N. Planes (R, C) begin at multiples of `plane` values; `grads` takes
// those of y, r, key, v and gate, then the terms of dbonus a row, to be summed over the rows.
// Dispatch: ceil(R H / HEADS) workgroups; SHARE invocations work on a head.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

const SHARE: u32 = 16u;  // invocations a head
const HEADS: u32 = 4u;   // heads a workgroup
const LANES: u32 = 64u;  // SHARE HEADS

struct Params {
  all: u32,       // R H
  size: u32,      // N
  channels: u32,  // C
  plane: u32,     // values from a plane to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;            // (R, C)
@group(0) @binding(2) var<storage, read> r: array<f32>;            // (R, C)
@group(0) @binding(3) var<storage, read> key: array<f32>;          // (R, C)
@group(0) @binding(4) var<storage, read> v: array<f32>;            // (R, C)
@group(0) @binding(5) var<storage, read> gate: array<f32>;         // (R, C)
@group(0) @binding(6) var<storage, read> bonus: array<f32>;        // (C)
@group(0) @binding(7) var<storage, read_write> out: array<f32>;    // (R, C)
@group(0) @binding(8) var<storage, read> dout: array<f32>;         // (R, C)
@group(0) @binding(9) var<storage, read_write> grads: array<f32>;  // (6, R, C)

var<workgroup> terms: array<vec2f, LANES>;

// Sums of the terms of a head's lanes, after a barrier.
fn head_sums(lane: u32) -> vec2f {
  var total = vec2f(0.0);
  let start = lane / SHARE * SHARE;
  for (var i = start; i < start + SHARE; i++) {
    total += terms[i];
  }
  return total;
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = (group.x + group.y * groups.x) * HEADS + lane / SHARE;
  let inside = head < params.all;
  let start = head * params.size;
  let column = start % params.channels;
  var share = 0.0;
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    share += r[start + n] * key[start + n] * bonus[column + n];
  }
  terms[lane] = vec2f(share, 0.0);
  workgroupBarrier();
  let s = head_sums(lane).x;
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    out[i] = (y[i] + s * v[i]) * gate[i];
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = (group.x + group.y * groups.x) * HEADS + lane / SHARE;
  let inside = head < params.all;
  let start = head * params.size;
  let column = start % params.channels;
  var share = vec2f(0.0);
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    share += vec2f(r[i] * key[i] * bonus[column + n], dout[i] * gate[i] * v[i]);
  }
  terms[lane] = share;
  workgroupBarrier();
  let total = head_sums(lane);
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    let h = dout[i] * gate[i];
    let q = bonus[column + n];
    grads[i] = h;
    grads[params.plane + i] = total.y * key[i] * q;
    grads[2u * params.plane + i] = total.y * r[i] * q;
    grads[3u * params.plane + i] = h * total.x;
    grads[4u * params.plane + i] = dout[i] * (y[i] + total.x * v[i]);
    grads[5u * params.plane + i] = total.y * r[i] * key[i];
  }
}
