// Softmax attention of forward.wgsl without workgroup memory, for CPU emulations of a GPU: there barriers are dear, and a
// pipeline takes a second more to compile for every four KiB of workgroup memory. A GPU wants forward.wgsl.
// An invocation has four queries and goes through their keys eight at a time. It sums 4 VECTORS columns of their rows of y;
// where D is more, several invocations share the columns, and each computes the scores for itself.
// Shapes: q (B, H, Tq, D), k and v (B, H / group, Tk, D), y as q, each anywhere in a tensor: steps = (first, batch,
// head, row), in words. A word is four elements, or one (ELEMENTS) where D or a step does not divide by four.
// Dispatch: x = tiles of 4 LANES queries, all or some of them, last first, y = H,
// z = B times the blocks of 4 VECTORS columns.

alias word = vec4f;                  // f32 with ELEMENTS
alias stored = vec4u;                // u32 with ELEMENTS or HALF: keys and values are read as bits
const VECTORS: u32 = 16u;            // vectors of y that an invocation sums in registers
override LANES: u32 = 8u;            // invocations a workgroup, of four rows each
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

fn read_key(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    let bits = vec4u(vec4u(k[p]).x, vec4u(k[p + 1u]).x, vec4u(k[p + 2u]).x, vec4u(k[p + 3u]).x);
    return select(vec4f(), bitcast<vec4f>(bits), inside);
  }
  if (HALF) {
    let p = 2u * (at + d);
    return vec4f(unpack2x16float(vec4u(k[p]).x), unpack2x16float(vec4u(k[p + 1u]).x));
  }
  return bitcast<vec4f>(vec4u(k[at + d]));
}

fn read_value(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    let bits = vec4u(vec4u(v[p]).x, vec4u(v[p + 1u]).x, vec4u(v[p + 2u]).x, vec4u(v[p + 3u]).x);
    return select(vec4f(), bitcast<vec4f>(bits), inside);
  }
  if (HALF) {
    let p = 2u * (at + d);
    return vec4f(unpack2x16float(vec4u(v[p]).x), unpack2x16float(vec4u(v[p + 1u]).x));
  }
  return bitcast<vec4f>(vec4u(v[at + d]));
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

fn store_sums(at: vec4u, d: u32, values: mat4x4f) {
  store(at.x, d, values[0]);
  store(at.y, d, values[1]);
  store(at.z, d, values[2]);
  store(at.w, d, values[3]);
}

fn scale_rows(rows: mat4x4f, by: vec4f) -> mat4x4f {
  return mat4x4f(rows[0] * by.x, rows[1] * by.y, rows[2] * by.z, rows[3] * by.w);
}

// Four rows of an operand, one in each column.
fn rows_q(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(load_q(at.x, d), load_q(at.y, d), load_q(at.z, d), load_q(at.w, d));
}

fn rows_of_keys(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(read_key(at.x, d), read_key(at.y, d), read_key(at.z, d), read_key(at.w, d));
}

// A hole in the mask may hold anything, also NaN.
fn rows_of_values(at: vec4u, d: u32, kept: vec4<bool>) -> mat4x4f {
  let rows = mat4x4f(read_value(at.x, d), read_value(at.y, d), read_value(at.z, d), read_value(at.w, d));
  if (MASK == 2u) {
    return mat4x4f(
      select(vec4f(), rows[0], kept.x),
      select(vec4f(), rows[1], kept.y),
      select(vec4f(), rows[2], kept.z),
      select(vec4f(), rows[3], kept.w),
    );
  }
  return rows;
}

fn are_kept(batch: u32, j: vec4u, last: i32) -> vec4<bool> {
  return vec4<bool>(
    is_kept(batch, j.x, last),
    is_kept(batch, j.y, last),
    is_kept(batch, j.z, last),
    is_kept(batch, j.w, last),
  );
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

// The same for four keys, one a column.
fn hide_four(scores: mat4x4f, j: vec4u, positions: vec4i, first: u32, kept: vec4<bool>) -> mat4x4f {
  return mat4x4f(
    hide(scores[0], j.x, positions, first, kept.x),
    hide(scores[1], j.y, positions, first, kept.y),
    hide(scores[2], j.z, positions, first, kept.z),
    hide(scores[3], j.w, positions, first, kept.w),
  );
}

fn max_of(scores: mat4x4f) -> vec4f {
  return max(max(scores[0], scores[1]), max(scores[2], scores[3]));
}

fn exp_below_four(scores: mat4x4f, most: vec4f) -> mat4x4f {
  return mat4x4f(
    exp_below(scores[0] - most),
    exp_below(scores[1] - most),
    exp_below(scores[2] - most),
    exp_below(scores[3] - most),
  );
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let columns = (params.vectors + VECTORS - 1u) / VECTORS;
  let batch = group.z / columns;
  let first_vector = group.z % columns * VECTORS;
  let vectors = min(VECTORS, params.vectors - first_vector);
  let head = group.y;
  let first_row = ((params.tile - group.x) * LANES + lane) * 4u;
  if (first_row < params.queries) {
    let start_k = params.k_steps.x + batch * params.k_steps.y + head / params.group * params.k_steps.z;
    let start_v = params.v_steps.x + batch * params.v_steps.y + head / params.group * params.v_steps.z;
    // Rows past the end repeat the last one, in all that they read and write.
    let inside = min(first_row + vec4u(0u, 1u, 2u, 3u), vec4u(params.queries - 1u));
    let at_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z + inside * params.q_steps.w;
    let at_y = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z + inside * params.y_steps.w;
    let shift = i32(params.keys) - i32(params.queries);
    let positions = vec4i(inside) + shift;
    let start_bias = first_bias(batch, head);

    // Keys that some row sees: first <= j < last.
    let last = min(count_keys(batch), positions.w + params.right + 1);
    let first = max(0, positions.x - params.left);
    var sums = array<mat4x4f, VECTORS>();
    var highest = vec4f(FLOOR);
    var total = vec4f();
    for (var tile = first; tile < last; tile += 8) {
      let j0 = u32(tile) + vec4u(0u, 1u, 2u, 3u);
      let j1 = j0 + 4u;
      let kept0 = are_kept(batch, j0, last);
      let kept1 = are_kept(batch, j1, last);
      // Keys past the last repeat it, and weigh nothing.
      let end = vec4u(u32(last - 1));
      let near = min(j0, end);
      let far = min(j1, end);
      let slot0 = vec4u(slot_of(near.x), slot_of(near.y), slot_of(near.z), slot_of(near.w));
      let slot1 = vec4u(slot_of(far.x), slot_of(far.y), slot_of(far.z), slot_of(far.w));
      let at_k0 = start_k + slot0 * params.k_steps.w;
      let at_k1 = start_k + slot1 * params.k_steps.w;
      var s0 = mat4x4f();
      var s1 = mat4x4f();
      for (var d = 0u; d < params.vectors; d++) {
        let a = transpose(rows_q(at_q, d) * params.scale);
        s0 += a * rows_of_keys(at_k0, d);
        s1 += a * rows_of_keys(at_k1, d);
      }
      s0 = hide_four(s0, j0, positions, start_bias, kept0);
      s1 = hide_four(s1, j1, positions, start_bias, kept1);
      let most = max(highest, max(max_of(s0), max_of(s1)));
      let fade = exp_below(highest - most);
      let p0 = exp_below_four(s0, most);
      let p1 = exp_below_four(s1, most);
      highest = most;
      total = total * fade + (((p0[0] + p0[1]) + (p0[2] + p0[3])) + ((p1[0] + p1[1]) + (p1[2] + p1[3])));
      // Column i of the product of values and transposed weights is row i of y.
      let weights0 = transpose(p0);
      let weights1 = transpose(p1);
      let at_v0 = start_v + slot0 * params.v_steps.w;
      let at_v1 = start_v + slot1 * params.v_steps.w;
      for (var d = 0u; d < vectors; d++) {
        let near_values = rows_of_values(at_v0, first_vector + d, kept0);
        let far_values = rows_of_values(at_v1, first_vector + d, kept1);
        sums[d] = scale_rows(sums[d], fade) + near_values * weights0 + far_values * weights1;
      }
    }

    let shrink = select(1.0 / total, vec4f(0.0), total == vec4f(0.0));
    for (var d = 0u; d < vectors; d++) {
      store_sums(at_y, first_vector + d, scale_rows(sums[d], shrink));
    }
    if (first_vector == 0u) {
      let at = (batch * groups.y + head) * params.queries;
      for (var i = 0u; i < 4u; i++) {
        norms[at + inside[i]] = vec2f(highest[i], total[i]);
      }
    }
  }
}
