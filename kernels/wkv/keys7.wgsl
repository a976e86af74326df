// What RWKV-7's recurrence is fed, from the projected keys and two low-rank maps, each head of each token at once:
//   z = w0 + dw,  w = -softplus(-z) - 1/2,  rate = sigmoid(a0 + da)
//   n = k k_k / max(|k k_k|, TINY) over a head,  a = -n,  b = n rate,  key = k (1 + (rate - 1) k_a)
// Backward, with gradients of w, key, a and b, and m = k k_k, f its inverse length, e = db rate - da:
//   dm = f (e - n sum(n e)),  drate = k k_a dkey + n db,  dk = dkey (1 + (rate - 1) k_a) + dm k_k
//   d(a0 + da) = drate rate (1 - rate),  dz = dw sigmoid(-z),  dk_k = sum of dm k,  dk_a = sum of dkey k (rate - 1)
// Shapes: R = B T rows, H heads of N channels, C = H N. Planes (R, C) begin at multiples of `plane` words.
// `kept` holds w, key, a, b for the recurrence, then z and rate for backward, then k_k and k_a.
// `grads` takes those of k, of z and of a0 + da, then the terms of dk_k and dk_a a row, to be summed over the rows.
// A word is a channel, or four where N allows vec4f.
// Dispatch: ceil(R H / ROWS) workgroups, LANES invocations a head.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

alias word = vec4f;         // or f32
const WIDTH: u32 = 4u;      // channels of a word
override LANES: u32 = 8u;   // invocations a head
override ROWS: u32 = 8u;    // heads a workgroup
const TINY: f32 = 1e-12;

struct Params {
  all: u32,       // R H
  words: u32,     // of a head
  row: u32,       // words of a row
  plane: u32,     // words from a plane to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<word>;            // (R, C)
@group(0) @binding(2) var<storage, read> wide: array<word>;         // (R, C): dw
@group(0) @binding(3) var<storage, read> rates: array<word>;        // (R, C): da
@group(0) @binding(4) var<storage, read> w0: array<word>;           // (C)
@group(0) @binding(5) var<storage, read> a0: array<word>;           // (C)
@group(0) @binding(6) var<storage, read> k_k: array<word>;          // (C)
@group(0) @binding(7) var<storage, read> k_a: array<word>;          // (C)
@group(0) @binding(8) var<storage, read_write> made: array<word>;   // (6, R, C); then (2, C)
@group(0) @binding(9) var<storage, read> kept: array<word>;         // (6, R, C); then (2, C): made
@group(0) @binding(10) var<storage, read> dw: array<word>;          // (R, C)
@group(0) @binding(11) var<storage, read> dkey: array<word>;        // (R, C)
@group(0) @binding(12) var<storage, read> da: array<word>;          // (R, C)
@group(0) @binding(13) var<storage, read> db: array<word>;          // (R, C)
@group(0) @binding(14) var<storage, read_write> grads: array<word>; // (5, R, C)

var<workgroup> terms: array<vec2f, LANES * ROWS>;

fn sigmoid_word(x: word) -> word {
  let e = exp(-min(abs(x), word(80.0))); // bounded: from -80 to 0
  return select(e, word(1.0), x >= word(0.0)) / (1.0 + e);
}

// log(1 + e^x), to all digits where it is small.
fn softplus_word(x: word) -> word {
  let e = exp(-min(abs(x), word(80.0))); // bounded: from -80 to 0
  // bounded: 1 + e lies between 1 and 2
  let tail = select(log(1.0 + e), e * (1.0 - e * (0.5 - e * 0.33333333)), e < word(0.01));
  return max(x, word(0.0)) + tail;
}

fn sum_of(v: word) -> f32 {
  let w = vec4f(v);
  if (WIDTH == 1u) {
    return w.x;
  }
  return (w.x + w.y) + (w.z + w.w);
}

// The terms of all lanes of a head; `first` is the place of its first lane.
fn head_sum(own: vec2f, lane: u32, first: u32) -> vec2f {
  if (LANES == 1u) {
    return own;
  }
  terms[first + lane] = own;
  workgroupBarrier();
  var total = vec2f(0.0);
  for (var i = first; i < first + LANES; i++) {
    total += terms[i];
  }
  return total;
}

@compute @workgroup_size(LANES, ROWS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let head = (group.x + group.y * groups.x) * ROWS + local.y;
  let first = local.y * LANES;
  let words = select(0u, params.words, head < params.all);
  let start = head * params.words;
  let column = start % params.row;
  var squares = 0.0;
  for (var n = local.x; n < words; n += LANES) {
    let m = k[start + n] * k_k[column + n];
    squares += sum_of(m * m);
  }
  let scale = 1.0 / max(sqrt(head_sum(vec2f(squares, 0.0), local.x, first).x), TINY);
  for (var n = local.x; n < words; n += LANES) {
    let i = start + n;
    let c = column + n;
    let z = w0[c] + wide[i];
    let rate = sigmoid_word(a0[c] + rates[i]);
    let unit = k[i] * k_k[c] * scale;
    made[i] = -softplus_word(-z) - 0.5;
    made[params.plane + i] = k[i] * (1.0 + (rate - 1.0) * k_a[c]);
    made[2u * params.plane + i] = -unit;
    made[3u * params.plane + i] = unit * rate;
    made[4u * params.plane + i] = z;
    made[5u * params.plane + i] = rate;
    if (start < params.row) {
      made[6u * params.plane + c] = k_k[c];
      made[6u * params.plane + params.row + c] = k_a[c];
    }
  }
}

@compute @workgroup_size(LANES, ROWS)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let head = (group.x + group.y * groups.x) * ROWS + local.y;
  let first = local.y * LANES;
  let words = select(0u, params.words, head < params.all);
  let start = head * params.words;
  let weights = 6u * params.plane + start % params.row;
  var sums = vec2f(0.0);
  for (var n = local.x; n < words; n += LANES) {
    let i = start + n;
    let m = k[i] * kept[weights + n];
    let e = db[i] * kept[5u * params.plane + i] - da[i];
    sums += vec2f(sum_of(m * m), -sum_of(kept[2u * params.plane + i] * e));
  }
  let total = head_sum(sums, local.x, first);
  let length = sqrt(total.x);
  let scale = 1.0 / max(length, TINY);
  let along = select(0.0, total.y, length > TINY);
  for (var n = local.x; n < words; n += LANES) {
    let i = start + n;
    let key_scale = kept[weights + n];
    let key_rate = kept[weights + params.row + n];
    let unit = -kept[2u * params.plane + i];
    let rate = kept[5u * params.plane + i];
    let key = k[i];
    let dm = scale * (db[i] * rate - da[i] - unit * along);
    let drate = key * key_rate * dkey[i] + unit * db[i];
    grads[i] = dkey[i] * (1.0 + (rate - 1.0) * key_rate) + dm * key_scale;
    grads[params.plane + i] = dw[i] * sigmoid_word(-kept[4u * params.plane + i]);
    grads[2u * params.plane + i] = drate * rate * (1.0 - rate);
    grads[3u * params.plane + i] = dm * key;
    grads[4u * params.plane + i] = dkey[i] * key * (rate - 1.0);
  }
}
