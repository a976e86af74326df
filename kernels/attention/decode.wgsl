// Attention of one query on a key-value cache. The cache is a ring of slots, and how many tokens went before is data,
// so that a captured step replays. `append` writes new rows behind the tokens so far; `single` attends in one workgroup
// a head; `split` gives each of S workgroups a share of the keys, and `merge` joins their results:
// m = max m_s, l = sum_s l_s exp(m_s - m), y = sum_s y_s exp(m_s - m) / l, where y_s is not yet divided by its l_s.
// Shapes: cache (2, B, H / group, slots, W words of four) f32 or packed halves, keys before values; new rows k, v
// (B, H / group, T, D) and q, y (B, H, D) anywhere in a tensor: steps = (first, batch, head, row), in words, which are
// elements with ELEMENTS.
// Dispatch: `append`: ceil(B H / group T W / 64) invocations' worth, one word of k and of v each; `single`: x = 1, y = H,
// z = B; `split`: x = S; `merge`: x = 1, y = H, z = B.
// An invocation computes whole scores of ROUND / LANES keys, then one word of y over every (LANES / W)-th key.
// Source: Dao et al., Flash-decoding, https://pytorch.org/blog/flash-decoding (2023).

alias word = vec4f;                  // f32 with ELEMENTS
alias count = u32;                   // or f32: what counts the tokens
override ELEMENTS: bool = false;
override HALF: bool = false;         // the cache holds packed halves
override SLOPES: bool = false;
override LENGTHS: bool = false;      // sequences end at tokens of their own; `append` leaves what follows out
override LANES: u32 = 64u;           // invocations a workgroup, at least W
override ROUND: u32 = 1024u;         // keys between two barriers, a multiple of LANES
override WORDS: u32 = 16u;           // W

const FLOOR = -1e29;                 // where the running maximum starts

struct Params {
  heads: u32,      // H
  group: u32,      // query heads a key head
  size: u32,       // D
  slots: u32,
  rows: u32,       // T, new tokens
  batch: u32,      // B
  step: u32,       // 1 if each sequence has a count of its own, else 0
  window: u32,     // keys that the query sees at most
  splits: u32,     // S
  scale: f32,
  k_steps: vec4u,
  v_steps: vec4u,
  q_steps: vec4u,
  y_steps: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> position: array<count>;          // (1) or (B), tokens before the new ones
@group(0) @binding(2) var<storage, read> k: array<word>;                  // (B, H / group, T, D)
@group(0) @binding(3) var<storage, read> v: array<word>;                  // (B, H / group, T, D)
@group(0) @binding(4) var<storage, read_write> slots: array<vec2u>;       // (2, B, H / group, slots, W), the cache
@group(0) @binding(5) var<storage, read> cache: array<vec2u>;             // (2, B, H / group, slots, W)
@group(0) @binding(6) var<storage, read> q: array<word>;                  // (B, H, D)
@group(0) @binding(7) var<storage, read> slopes: array<f32>;              // (H)
@group(0) @binding(8) var<storage, read_write> y: array<f32>;             // (B, H, D)
@group(0) @binding(9) var<storage, read_write> parts: array<vec4f>;       // (B, H, S, W)
@group(0) @binding(10) var<storage, read_write> norms: array<vec2f>;      // (B, H, S) of (maximum, sum)
@group(0) @binding(11) var<storage, read> part: array<vec4f>;             // (B, H, S, W)
@group(0) @binding(12) var<storage, read> norm: array<vec2f>;             // (B, H, S) of (maximum, sum)
@group(0) @binding(13) var<storage, read> lengths: array<u32>;            // (B), tokens of a sequence in all

var<workgroup> query: array<vec4f, WORDS>;
var<workgroup> weights: array<f32, ROUND>;
var<workgroup> partial: array<f32, LANES>;
var<workgroup> sums: array<vec4f, LANES>;

// exp of a difference to a maximum: 0 from -87 down.
fn exp_below(x: f32) -> f32 {
  return select(exp(clamp(x, -87.0, 0.0)), 0.0, x < -87.0);
}

fn load_q(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(q[p]).x, vec4f(q[p + 1u]).x, vec4f(q[p + 2u]).x, vec4f(q[p + 3u]).x), inside);
  }
  return vec4f(q[at + d]);
}

fn load_k(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(k[p]).x, vec4f(k[p + 1u]).x, vec4f(k[p + 2u]).x, vec4f(k[p + 3u]).x), inside);
  }
  return vec4f(k[at + d]);
}

fn load_v(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(v[p]).x, vec4f(v[p + 1u]).x, vec4f(v[p + 2u]).x, vec4f(v[p + 3u]).x), inside);
  }
  return vec4f(v[at + d]);
}

fn store(at: u32, d: u32, value: vec4f) {
  if (ELEMENTS) {
    for (var i = 0u; i < min(4u, params.size - 4u * d); i++) {
      y[at + 4u * d + i] = value[i];
    }
  } else {
    let p = 4u * (at + d);
    y[p] = value.x;
    y[p + 1u] = value.y;
    y[p + 2u] = value.z;
    y[p + 3u] = value.w;
  }
}

fn load_cache(at: u32) -> vec4f {
  if (HALF) {
    let bits = cache[at];
    return vec4f(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return vec4f(bitcast<vec2f>(cache[2u * at]), bitcast<vec2f>(cache[2u * at + 1u]));
}

// Halves that would overflow become the largest instead.
fn store_cache(at: u32, value: vec4f) {
  if (HALF) {
    let bounded = clamp(value, vec4f(-65504.0), vec4f(65504.0));
    slots[at] = vec2u(pack2x16float(bounded.xy), pack2x16float(bounded.zw));
  } else {
    slots[2u * at] = bitcast<vec2u>(value.xy);
    slots[2u * at + 1u] = bitcast<vec2u>(value.zw);
  }
}

@compute @workgroup_size(64)
fn append(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  let heads = params.heads / params.group;
  if (i < params.batch * heads * params.rows * WORDS) {
    let d = i % WORDS;
    let row = i / WORDS % params.rows;
    let head = i / WORDS / params.rows % heads;
    let batch = i / WORDS / params.rows / heads;
    let token = u32(position[batch * params.step]) + row;
    if (LENGTHS && token >= lengths[batch]) {
      return;
    }
    let slot = token % params.slots;
    let at = ((batch * heads + head) * params.slots + slot) * WORDS + d;
    let start_k = params.k_steps.x + batch * params.k_steps.y + head * params.k_steps.z;
    let start_v = params.v_steps.x + batch * params.v_steps.y + head * params.v_steps.z;
    store_cache(at, load_k(start_k + row * params.k_steps.w, d));
    store_cache(at + params.batch * heads * params.slots * WORDS, load_v(start_v + row * params.v_steps.w, d));
  }
}

// Weighted sum of values with its maximum and sum of weights; lanes below W hold a word each.
struct Result {
  sum: vec4f,
  most: f32,
  total: f32,
}

// Attends to share `split` of the keys. Every invocation of a workgroup must call it.
fn attend(batch: u32, head: u32, split: u32, lane: u32) -> Result {
  let heads = params.heads / params.group;
  let seen = u32(position[batch * params.step]) + params.rows;
  let keys = min(min(seen, params.slots), params.window);
  let share = (keys + params.splits - 1u) / params.splits;
  let first = split * share;
  let last = min(first + share, keys);
  let oldest = seen - keys;
  let start_k = (batch * heads + head / params.group) * params.slots;
  let start_v = start_k + params.batch * heads * params.slots;
  let start_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z;
  for (var d = lane; d < WORDS; d += LANES) {
    query[d] = load_q(start_q, d) * params.scale;
  }
  workgroupBarrier();

  let slope = select(0.0, slopes[head], SLOPES);
  let readers = LANES / WORDS;
  let column = lane % WORDS;
  var result = Result(vec4f(), FLOOR, 0.0);
  for (var round = first; round < last; round += ROUND) {
    let present = min(ROUND, last - round);
    var most = FLOOR;
    for (var i = lane; i < present; i += LANES) {
      let j = round + i;
      let at = (start_k + (oldest + j) % params.slots) * WORDS;
      var products = vec4f();
      for (var d = 0u; d < WORDS; d++) {
        products += query[d] * load_cache(at + d);
      }
      let score = (products.x + products.y) + (products.z + products.w) - slope * f32(keys - 1u - j);
      weights[i] = score;
      most = max(most, score);
    }
    partial[lane] = most;
    workgroupBarrier();

    most = result.most;
    for (var i = 0u; i < LANES; i++) {
      most = max(most, partial[i]);
    }
    let fade = exp_below(result.most - most);
    result.most = most;
    result.total *= fade;
    result.sum *= fade;
    for (var i = lane; i < present; i += LANES) {
      let p = exp_below(weights[i] - most);
      weights[i] = p;
      result.total += p;
    }
    workgroupBarrier();

    for (var i = lane / WORDS; i < present; i += readers) {
      if (lane < readers * WORDS) {
        let at = (start_v + (oldest + round + i) % params.slots) * WORDS;
        result.sum += weights[i] * load_cache(at + column);
      }
    }
    workgroupBarrier();
  }

  partial[lane] = result.total;
  sums[lane] = result.sum;
  workgroupBarrier();
  result.total = 0.0;
  for (var i = 0u; i < LANES; i++) {
    result.total += partial[i];
  }
  result.sum = vec4f();
  for (var i = 0u; i < readers; i++) {
    result.sum += sums[column + i * WORDS];
  }
  return result;
}

fn reciprocal_or_zero(x: f32) -> f32 {
  return select(1.0 / x, 0.0, x == 0.0);
}

@compute @workgroup_size(LANES)
fn single(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let result = attend(group.z, group.y, 0u, lane);
  if (lane < WORDS) {
    let at = params.y_steps.x + group.z * params.y_steps.y + group.y * params.y_steps.z;
    store(at, lane, result.sum * reciprocal_or_zero(result.total));
  }
}

@compute @workgroup_size(LANES)
fn split(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let result = attend(group.z, group.y, group.x, lane);
  let at = (group.z * params.heads + group.y) * params.splits + group.x;
  if (lane < WORDS) {
    parts[at * WORDS + lane] = result.sum;
  }
  if (lane == 0u) {
    norms[at] = vec2f(result.most, result.total);
  }
}

@compute @workgroup_size(64)
fn merge(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = (group.z * params.heads + group.y) * params.splits;
  var most = FLOOR;
  for (var s = 0u; s < params.splits; s++) {
    most = max(most, norm[start + s].x);
  }
  for (var d = lane; d < WORDS; d += 64u) {
    var sum = vec4f();
    var total = 0.0;
    for (var s = 0u; s < params.splits; s++) {
      let fade = exp_below(norm[start + s].x - most);
      sum += part[(start + s) * WORDS + d] * fade;
      total += norm[start + s].y * fade;
    }
    let at = params.y_steps.x + group.z * params.y_steps.y + group.y * params.y_steps.z;
    store(at, d, sum * reciprocal_or_zero(total));
  }
}
