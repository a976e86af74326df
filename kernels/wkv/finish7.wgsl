// What follows RWKV-7's recurrence: the present token's own value by its bonus, then the gate, each head of each token at once:
//   s = sum over a head of r key bonus,  out = (y + s v) gate
// Backward, with h = dout gate and ds = sum over a head of h v:
//   dy = h,  dv = h s,  dgate = dout (y + s v),  dr = ds key bonus,  dkey = ds r bonus,  dbonus = sum over rows of ds r key
// Shapes: R = B T rows, H heads of N channels, C = H N. Planes (R, C) begin at multiples of `plane` words; `grads` takes
// those of y, r, key, v and gate, then the terms of dbonus a row, to be summed over the rows.
// A word is a channel, or four where N allows vec4f.
// Dispatch: ceil(R H / ROWS) workgroups, LANES invocations a head.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

alias word = vec4f;         // or f32
const WIDTH: u32 = 4u;      // channels of a word
override LANES: u32 = 8u;   // invocations a head
override ROWS: u32 = 8u;    // heads a workgroup

struct Params {
  all: u32,       // R H
  words: u32,     // of a head
  row: u32,       // words of a row
  plane: u32,     // words from a plane to the next
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<word>;            // (R, C)
@group(0) @binding(2) var<storage, read> r: array<word>;            // (R, C)
@group(0) @binding(3) var<storage, read> key: array<word>;          // (R, C)
@group(0) @binding(4) var<storage, read> v: array<word>;            // (R, C)
@group(0) @binding(5) var<storage, read> gate: array<word>;         // (R, C)
@group(0) @binding(6) var<storage, read> bonus: array<word>;        // (C)
@group(0) @binding(7) var<storage, read_write> out: array<word>;    // (R, C)
@group(0) @binding(8) var<storage, read> dout: array<word>;         // (R, C)
@group(0) @binding(9) var<storage, read_write> grads: array<word>;  // (6, R, C)

var<workgroup> terms: array<vec2f, LANES * ROWS>;

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
  var share = 0.0;
  for (var n = local.x; n < words; n += LANES) {
    share += sum_of(r[start + n] * key[start + n] * bonus[column + n]);
  }
  let s = head_sum(vec2f(share, 0.0), local.x, first).x;
  for (var n = local.x; n < words; n += LANES) {
    let i = start + n;
    out[i] = (y[i] + s * v[i]) * gate[i];
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
  let column = start % params.row;
  var share = vec2f(0.0);
  for (var n = local.x; n < words; n += LANES) {
    let i = start + n;
    share += vec2f(sum_of(r[i] * key[i] * bonus[column + n]), sum_of(dout[i] * gate[i] * v[i]));
  }
  let total = head_sum(share, local.x, first);
  for (var n = local.x; n < words; n += LANES) {
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
