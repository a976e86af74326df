// What RWKV-7's recurrence is fed, from the projected keys and two low-rank maps, each head of each token at once:
//   z = w0 + dw,  w = -softplus(-z) - 1/2,  rate = sigmoid(a0 + da)
//   n = k k_k / max(|k k_k|, TINY) over a head,  a = -n,  b = n rate,  key = k (1 + (rate - 1) k_a)
// Backward, with gradients of w, key, a and b, and m = k k_k, f its inverse length, e = db rate - da:
//   dm = f (e - n sum(n e)),  drate = k k_a dkey + n db,  dk = dkey (1 + (rate - 1) k_a) + dm k_k
//   d(a0 + da) = drate rate (1 - rate),  dz = dw sigmoid(-z),  dk_k = sum of dm k,  dk_a = sum of dkey k (rate - 1)
// Shapes: R = B T rows, H heads of N channels, C = H N. Planes (R, C) begin at multiples of `plane` values.
// `kept` holds w, key, a, b for the recurrence, then z and rate for backward, then k_k and k_a.
// `grads` takes those of k, of z and of a0 + da, then the terms of dk_k and dk_a a row, to be summed over the rows.
// Dispatch: ceil(R H / HEADS) workgroups; SHARE invocations work on a head.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

const SHARE: u32 = 16u;  // invocations a head
const HEADS: u32 = 4u;   // heads a workgroup
const LANES: u32 = 64u;  // SHARE HEADS
const TINY: f32 = 1e-12;

struct Params {
  all: u32,       // R H
  size: u32,      // N
  channels: u32,  // C
  plane: u32,     // values from a plane to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;            // (R, C)
@group(0) @binding(2) var<storage, read> wide: array<f32>;         // (R, C): dw
@group(0) @binding(3) var<storage, read> rates: array<f32>;        // (R, C): da
@group(0) @binding(4) var<storage, read> w0: array<f32>;           // (C)
@group(0) @binding(5) var<storage, read> a0: array<f32>;           // (C)
@group(0) @binding(6) var<storage, read> k_k: array<f32>;          // (C)
@group(0) @binding(7) var<storage, read> k_a: array<f32>;          // (C)
@group(0) @binding(8) var<storage, read_write> made: array<f32>;   // (6, R, C); then (2, C)
@group(0) @binding(9) var<storage, read> kept: array<f32>;         // (6, R, C); then (2, C): made
@group(0) @binding(10) var<storage, read> dw: array<f32>;          // (R, C)
@group(0) @binding(11) var<storage, read> dkey: array<f32>;        // (R, C)
@group(0) @binding(12) var<storage, read> da: array<f32>;          // (R, C)
@group(0) @binding(13) var<storage, read> db: array<f32>;          // (R, C)
@group(0) @binding(14) var<storage, read_write> grads: array<f32>; // (5, R, C)

var<workgroup> terms: array<vec2f, LANES>;

fn sigmoid(x: f32) -> f32 {
  let e = exp(-min(abs(x), 80.0));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// log(1 + e^x), to all digits where it is small.
fn softplus(x: f32) -> f32 {
  let e = exp(-min(abs(x), 80.0));
  let tail = select(log(1.0 + e), e * (1.0 - e * (0.5 - e * 0.33333333)), e < 0.01);
  return max(x, 0.0) + tail;
}

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
  var squares = 0.0;
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let m = k[start + n] * k_k[column + n];
    squares += m * m;
  }
  terms[lane] = vec2f(squares, 0.0);
  workgroupBarrier();
  let scale = 1.0 / max(sqrt(head_sums(lane).x), TINY);
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    let c = column + n;
    let z = w0[c] + wide[i];
    let rate = sigmoid(a0[c] + rates[i]);
    let unit = k[i] * k_k[c] * scale;
    made[i] = -softplus(-z) - 0.5;
    made[params.plane + i] = k[i] * (1.0 + (rate - 1.0) * k_a[c]);
    made[2u * params.plane + i] = -unit;
    made[3u * params.plane + i] = unit * rate;
    made[4u * params.plane + i] = z;
    made[5u * params.plane + i] = rate;
    if (start < params.channels) {
      made[6u * params.plane + c] = k_k[c];
      made[6u * params.plane + params.channels + c] = k_a[c];
    }
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
  let weights = 6u * params.plane + start % params.channels;
  var sums = vec2f(0.0);
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    let m = k[i] * kept[weights + n];
    let e = db[i] * kept[5u * params.plane + i] - da[i];
    sums += vec2f(m * m, -kept[2u * params.plane + i] * e);
  }
  terms[lane] = sums;
  workgroupBarrier();
  let total = head_sums(lane);
  let length = sqrt(total.x);
  let scale = 1.0 / max(length, TINY);
  let along = select(0.0, total.y, length > TINY);
  for (var n = lane % SHARE; inside && n < params.size; n += SHARE) {
    let i = start + n;
    let key_scale = kept[weights + n];
    let key_rate = kept[weights + params.channels + n];
    let unit = -kept[2u * params.plane + i];
    let rate = kept[5u * params.plane + i];
    let key = k[i];
    let dm = scale * (db[i] * rate - da[i] - unit * along);
    let drate = key * key_rate * dkey[i] + unit * db[i];
    grads[i] = dkey[i] * (1.0 + (rate - 1.0) * key_rate) + dm * key_scale;
    grads[params.plane + i] = dw[i] * sigmoid(-kept[4u * params.plane + i]);
    grads[2u * params.plane + i] = drate * rate * (1.0 - rate);
    grads[3u * params.plane + i] = dm * key;
    grads[4u * params.plane + i] = dkey[i] * key * (rate - 1.0);
  }
}
