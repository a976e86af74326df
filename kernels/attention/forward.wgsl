// Softmax attention without the matrix of scores: y_i = sum_j p_ij v_j, p_ij = exp(s_ij - lse_i), s_ij = scale q_i k_j
// over the keys j that query i sees, lse_i = log sum_j exp(s_ij). A row that sees no key gives 0. In place of lse stand
// the row's maximum m and its sum l of exp(s - m): lse = m + log l, but that rounds away what a gradient needs.
// Query i stands at position P_i = i + Tk - Tq (aligned to the last key) and sees P_i - left <= j <= P_i + right,
// where right = 0 is causal; a bias is added to a score: a matrix, or with BIAS 1
// -slope_h |P_i - j| (ALiBi, https://arxiv.org/abs/2108.12409).
// Head h reads key head h / group. Scores are kept of one tile at a time: a maximum and a sum for each row are
// brought up to date from tile to tile, and tiles that no row sees are never loaded.
// Shapes: q (B, H, Tq, D), k and v (B, H / group, Tk, D), y as q, each anywhere in a tensor: steps = (first, batch,
// head, row), in words. A word is four elements, or one (ELEMENTS) where D or a step does not divide by four.
// Dispatch: x = tiles of 4 HEIGHT queries, all or some of them, last first, y = H, z = B. An invocation works on rows y,
// y + HEIGHT, ... (4) of a tile: on a block of 4 x 4 scores, then on COLUMNS vectors of each row of y.
// Source: Dao, FlashAttention-2, https://arxiv.org/abs/2307.08691, algorithm 1.

override WIDTH: u32 = 8u;            // invocations along keys and columns
override HEIGHT: u32 = 4u;           // invocations along queries
override COLUMNS: u32 = 2u;          // 1 to 4: vectors of y an invocation, D / 4 / WIDTH rounded up
override KEYS: u32 = 32u;            // keys of a tile: a multiple of 4, at most 4 WIDTH
alias word = vec4f;                  // f32 with ELEMENTS
alias stored = vec2u;                // u32 with ELEMENTS: keys and values are read as bits
override ELEMENTS: bool = false;
override HALF: bool = false;         // keys and values are packed halves
override RING: bool = false;         // keys and values lie in a ring
override MASK: u32 = 0u;             // what mask holds: 0 nothing, 1 a count of keys a sequence, 2 a flag a key
override BIAS: u32 = 0u;             // what bias holds: 0 nothing, 1 a slope a head, 2 a value a score

const HIDDEN = -1e30;                // score of a key that is not seen
const FLOOR = -1e29;                 // where the running maximum starts: exp(HIDDEN - FLOOR) = 0

struct Params {
  queries: u32,    // Tq
  keys: u32,       // Tk
  size: u32,       // D
  vectors: u32,    // D / 4, rounded up
  group: u32,      // query heads a key head
  tile: u32,       // the last of this launch
  left: i32,
  right: i32,
  scale: f32,
  slot: u32,       // RING: where key 0 lies
  capacity: u32,   // RING: slots
  bias_steps: vec2u,   // elements from batch to batch and head to head of a bias; 0 where it is shared
  q_steps: vec4u,
  k_steps: vec4u,
  v_steps: vec4u,
  y_steps: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<word>;          // (B, H, Tq, D)
@group(0) @binding(2) var<storage, read> k: array<stored>;        // (B, H / group, Tk, D)
@group(0) @binding(3) var<storage, read> v: array<stored>;        // (B, H / group, Tk, D)
@group(0) @binding(4) var<storage, read> mask: array<u32>;        // (B) or (B, Tk)
@group(0) @binding(5) var<storage, read> bias: array<f32>;        // (H), or (B or 1, H or 1, Tq, Tk)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;     // (B, H, Tq, D)
@group(0) @binding(7) var<storage, read_write> norms: array<vec2f>;   // (B, H, Tq) of (maximum, sum)

// Rows are one word longer than they need, so that lanes that read down a column meet every bank.
var<workgroup> tile_q: array<vec4f, 4u * HEIGHT * (COLUMNS * WIDTH + 1u)>;
var<workgroup> tile_kv: array<vec4f, KEYS * (COLUMNS * WIDTH + 1u)>;
var<workgroup> tile_p: array<vec4f, KEYS * HEIGHT>;
var<workgroup> partial: array<vec4f, WIDTH * HEIGHT>;

// Whether key j takes part at all, for any query; keys from `last` on do not.
fn is_kept(batch: u32, j: u32, last: i32) -> bool {
  if (MASK == 2u) {
    return i32(j) < last && mask[batch * params.keys + min(j, params.keys - 1u)] != 0u;
  }
  return i32(j) < last;
}

// Keys of a sequence that may take part.
fn count_keys(batch: u32) -> i32 {
  if (MASK == 1u) {
    return min(i32(params.keys), i32(mask[batch]));
  }
  return i32(params.keys);
}

// exp of a difference to a maximum: 0 from -87 down.
fn exp_below(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(0.0))), vec4f(0.0), x < vec4f(-87.0));
}

// Four rows (in the columns of the matrix) of the product of a column and a row.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}

fn load_q(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(q[p]).x, vec4f(q[p + 1u]).x, vec4f(q[p + 2u]).x, vec4f(q[p + 3u]).x), inside);
  }
  return vec4f(q[at + d]);
}

fn load_key(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    let bits = vec4u(vec2u(k[p]).x, vec2u(k[p + 1u]).x, vec2u(k[p + 2u]).x, vec2u(k[p + 3u]).x);
    return select(vec4f(), bitcast<vec4f>(bits), inside);
  }
  if (HALF) {
    let bits = vec2u(k[at + d]);
    return vec4f(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return vec4f(bitcast<vec2f>(vec2u(k[2u * (at + d)])), bitcast<vec2f>(vec2u(k[2u * (at + d) + 1u])));
}

fn load_value(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    let bits = vec4u(vec2u(v[p]).x, vec2u(v[p + 1u]).x, vec2u(v[p + 2u]).x, vec2u(v[p + 3u]).x);
    return select(vec4f(), bitcast<vec4f>(bits), inside);
  }
  if (HALF) {
    let bits = vec2u(v[at + d]);
    return vec4f(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return vec4f(bitcast<vec2f>(vec2u(v[2u * (at + d)])), bitcast<vec2f>(vec2u(v[2u * (at + d) + 1u])));
}

// Row of key j in memory.
fn slot_of(j: u32) -> u32 {
  if (RING) {
    return (params.slot + j) % params.capacity;
  }
  return j;
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

fn store_rows(start: u32, rows: vec4u, d: u32, values: mat4x4f) {
  if (d < params.vectors) {
    let at = vec4u(start) + rows * params.y_steps.w;
    if (rows.x < params.queries) { store(at.x, d, values[0]); }
    if (rows.y < params.queries) { store(at.y, d, values[1]); }
    if (rows.z < params.queries) { store(at.z, d, values[2]); }
    if (rows.w < params.queries) { store(at.w, d, values[3]); }
  }
}

fn scale_rows(rows: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(rows[0] * by.x, rows[1] * by.y, rows[2] * by.z, rows[3] * by.w);
}

// Where the bias of a head begins.
fn first_bias(batch: u32, head: u32) -> u32 {
  return select(head, batch * params.bias_steps.x + head * params.bias_steps.y, BIAS == 2u);
}

// What is added to the scores of key j with four queries; -inf becomes what a hidden key has.
fn bias_of(first: u32, j: u32, positions: vec4i) -> vec4f {
  if (BIAS == 1u) {
    return -bias[first] * vec4f(abs(vec4i(i32(j)) - positions));
  }
  if (BIAS == 2u) {
    let rows = min(vec4u(positions + i32(params.queries) - i32(params.keys)), vec4u(params.queries - 1u));
    let at = first + rows * params.keys + min(j, params.keys - 1u);
    return max(vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]), vec4f(HIDDEN));
  }
  return vec4f();
}

// Scores of key j with four queries, HIDDEN where they do not see it.
fn hide(scores: vec4f, j: u32, positions: vec4i, first: u32, kept: bool) -> vec4f {
  let ahead = vec4i(i32(j)) - positions;
  let seen = (ahead <= vec4i(params.right)) & (ahead >= vec4i(-params.left)) & vec4<bool>(kept);
  return select(vec4f(HIDDEN), scores + bias_of(first, j, positions), seen);
}

// Four keys' worth of four rows of y: p[n] holds the weights of key n, at is where its vector lies.
fn weigh(p: mat4x4f, at: u32, pitch: u32) -> mat4x4f {
  return outer(p[0], tile_kv[at]) + outer(p[1], tile_kv[at + pitch])
    + outer(p[2], tile_kv[at + 2u * pitch]) + outer(p[3], tile_kv[at + 3u * pitch]);
}

@compute @workgroup_size(WIDTH, HEIGHT)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let lanes = WIDTH * HEIGHT;
  let pitch = COLUMNS * WIDTH + 1u;
  let height = 4u * HEIGHT;
  let batch = group.z;
  let head = group.y;
  let first_row = (params.tile - group.x) * height;
  let start_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z;
  let start_k = params.k_steps.x + batch * params.k_steps.y + head / params.group * params.k_steps.z;
  let start_v = params.v_steps.x + batch * params.v_steps.y + head / params.group * params.v_steps.z;
  let start_y = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z;

  // Keys that some row of the tile sees: first <= j < last.
  let shift = i32(params.keys) - i32(params.queries);
  let bottom = i32(min(first_row + height, params.queries)) - 1;
  let last = min(count_keys(batch), bottom + shift + params.right + 1);
  let first = max(0, i32(first_row) + shift - params.left);

  for (var i = lane; i < height * params.vectors; i += lanes) {
    let row = i / params.vectors;
    let d = i % params.vectors;
    var value = vec4f();
    if (first_row + row < params.queries) {
      value = load_q(start_q + (first_row + row) * params.q_steps.w, d) * params.scale;
    }
    tile_q[row * pitch + d] = value;
  }

  let rows = first_row + local.y + HEIGHT * vec4u(0u, 1u, 2u, 3u);
  let positions = vec4i(rows) + shift;
  let start_bias = first_bias(batch, head);
  // Lanes that hold scores of a tile; key n of lane x is x + n stride.
  let stride = KEYS / 4u;
  var highest = vec4f(FLOOR);
  var total = vec4f();
  var sum0 = mat4x4f();
  var sum1 = mat4x4f();
  var sum2 = mat4x4f();
  var sum3 = mat4x4f();
  for (var tile = first; tile < last; tile += i32(KEYS)) {
    for (var i = lane; i < KEYS * params.vectors; i += lanes) {
      let j = u32(tile) + i / params.vectors;
      let d = i % params.vectors;
      var value = vec4f();
      if (i32(j) < last) {
        value = load_key(start_k + slot_of(j) * params.k_steps.w, d);
      }
      tile_kv[i / params.vectors * pitch + d] = value;
    }
    workgroupBarrier();

    // Column n: key n of the lane with its four rows.
    var scores = mat4x4f();
    if (local.x < stride) {
      let at_q = local.y * pitch;
      let at_k = local.x * pitch;
      for (var d = 0u; d < params.vectors; d++) {
        let a = mat4x4f(
          tile_q[at_q + d],
          tile_q[at_q + HEIGHT * pitch + d],
          tile_q[at_q + 2u * HEIGHT * pitch + d],
          tile_q[at_q + 3u * HEIGHT * pitch + d],
        );
        scores += mat4x4f(
          tile_kv[at_k + d] * a,
          tile_kv[at_k + stride * pitch + d] * a,
          tile_kv[at_k + 2u * stride * pitch + d] * a,
          tile_kv[at_k + 3u * stride * pitch + d] * a,
        );
      }
      let j = u32(tile) + local.x + stride * vec4u(0u, 1u, 2u, 3u);
      scores = mat4x4f(
        hide(scores[0], j.x, positions, start_bias, is_kept(batch, j.x, last)),
        hide(scores[1], j.y, positions, start_bias, is_kept(batch, j.y, last)),
        hide(scores[2], j.z, positions, start_bias, is_kept(batch, j.z, last)),
        hide(scores[3], j.w, positions, start_bias, is_kept(batch, j.w, last)),
      );
      partial[local.y * WIDTH + local.x] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
    }
    workgroupBarrier();

    var most = highest;
    for (var i = 0u; i < stride; i++) {
      most = max(most, partial[local.y * WIDTH + i]);
    }
    let fade = exp_below(highest - most);
    highest = most;
    total *= fade;
    if (local.x < stride) {
      let p = mat4x4f(
        exp_below(scores[0] - most),
        exp_below(scores[1] - most),
        exp_below(scores[2] - most),
        exp_below(scores[3] - most),
      );
      total += (p[0] + p[1]) + (p[2] + p[3]);
      let at = local.x * HEIGHT + local.y;
      tile_p[at] = p[0];
      tile_p[at + stride * HEIGHT] = p[1];
      tile_p[at + 2u * stride * HEIGHT] = p[2];
      tile_p[at + 3u * stride * HEIGHT] = p[3];
    }
    for (var i = lane; i < KEYS * params.vectors; i += lanes) {
      let j = u32(tile) + i / params.vectors;
      let d = i % params.vectors;
      var value = vec4f();
      if (is_kept(batch, j, last)) {
        value = load_value(start_v + slot_of(j) * params.v_steps.w, d);
      }
      tile_kv[i / params.vectors * pitch + d] = value;
    }
    workgroupBarrier();

    sum0 = scale_rows(sum0, fade);
    if (COLUMNS > 1u) { sum1 = scale_rows(sum1, fade); }
    if (COLUMNS > 2u) { sum2 = scale_rows(sum2, fade); }
    if (COLUMNS > 3u) { sum3 = scale_rows(sum3, fade); }
    for (var j = 0u; j < KEYS; j += 4u) {
      let at_p = j * HEIGHT + local.y;
      let p = mat4x4f(tile_p[at_p], tile_p[at_p + HEIGHT], tile_p[at_p + 2u * HEIGHT], tile_p[at_p + 3u * HEIGHT]);
      let at = j * pitch + local.x;
      sum0 += weigh(p, at, pitch);
      if (COLUMNS > 1u) { sum1 += weigh(p, at + WIDTH, pitch); }
      if (COLUMNS > 2u) { sum2 += weigh(p, at + 2u * WIDTH, pitch); }
      if (COLUMNS > 3u) { sum3 += weigh(p, at + 3u * WIDTH, pitch); }
    }
    workgroupBarrier();
  }

  partial[local.y * WIDTH + local.x] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = 0u; i < stride; i++) {
    total += partial[local.y * WIDTH + i];
  }
  let shrink = select(1.0 / total, vec4f(0.0), total == vec4f(0.0));
  store_rows(start_y, rows, local.x, scale_rows(sum0, shrink));
  if (COLUMNS > 1u) { store_rows(start_y, rows, local.x + WIDTH, scale_rows(sum1, shrink)); }
  if (COLUMNS > 2u) { store_rows(start_y, rows, local.x + 2u * WIDTH, scale_rows(sum2, shrink)); }
  if (COLUMNS > 3u) { store_rows(start_y, rows, local.x + 3u * WIDTH, scale_rows(sum3, shrink)); }
  if (local.x == 0u) {
    let at = (batch * groups.y + head) * params.queries;
    for (var i = 0u; i < 4u; i++) {
      if (rows[i] < params.queries) {
        norms[at + rows[i]] = vec2f(highest[i], total[i]);
      }
    }
  }
}
