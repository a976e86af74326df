// Gradient of attention (forward.wgsl) for q, with the scores computed again:
// p_ij = exp(s_ij - m_i) / l_i, dp_ij = dy_i v_j, ds_ij = p_ij (dp_ij - delta_i), dq_i = scale sum_j ds_ij k_j.
// Without workgroup memory, for CPU emulations of a GPU, as direct.wgsl is of forward.wgsl. An invocation has four rows and
// goes through those of the other kind eight at a time; it sums 4 VECTORS columns of their gradients.
// Shapes: as in backward_queries.wgsl.
// Dispatch: x = tiles of 4 LANES queries, all or some of them, last first, y = H, z = B times
// the blocks of 4 VECTORS columns.

alias word = vec4f;                  // f32 with ELEMENTS
const VECTORS: u32 = 16u;            // vectors of a row that an invocation sums in registers
override LANES: u32 = 8u;            // invocations a workgroup, of four rows each
override ELEMENTS: bool = false;
override MASK: u32 = 0u;             // what mask holds: 0 nothing, 1 a count of keys a sequence, 2 a flag a key
override BIAS: u32 = 0u;             // what bias holds: 0 nothing, 1 a slope a head, 2 a value a score

const HIDDEN = -1e30;                // score of a key that is not seen

struct Params {
  heads: u32,      // H
  queries: u32,    // Tq
  keys: u32,       // Tk
  size: u32,       // D
  vectors: u32,    // D / 4, rounded up
  group: u32,      // query heads a key head
  tile: u32,       // the last of this launch
  left: i32,
  right: i32,
  scale: f32,
  bias_steps: vec2u,   // elements from batch to batch and head to head of a bias; 0 where it is shared
  q_steps: vec4u,
  k_steps: vec4u,
  v_steps: vec4u,
  y_steps: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<word>;         // (B, H, Tq, D)
@group(0) @binding(2) var<storage, read> k: array<word>;         // (B, H / group, Tk, D)
@group(0) @binding(3) var<storage, read> v: array<word>;         // (B, H / group, Tk, D)
@group(0) @binding(4) var<storage, read> mask: array<u32>;       // (B) or (B, Tk)
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // (H), or (B or 1, H or 1, Tq, Tk)
@group(0) @binding(6) var<storage, read> dy: array<word>;        // (B, H, Tq, D)
@group(0) @binding(7) var<storage, read> row: array<vec4f>;      // (B, H, Tq) of facts.wgsl
@group(0) @binding(8) var<storage, read_write> dq: array<f32>;   // (B, H, Tq, D)

// exp of a difference to a maximum: 0 from -87 down.
fn exp_below(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(0.0))), vec4f(0.0), x < vec4f(-87.0));
}

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

fn load_dy(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(dy[p]).x, vec4f(dy[p + 1u]).x, vec4f(dy[p + 2u]).x, vec4f(dy[p + 3u]).x), inside);
  }
  return vec4f(dy[at + d]);
}

fn store_dq(at: u32, d: u32, value: vec4f) {
  if (ELEMENTS) {
    for (var i = 0u; i < min(4u, params.size - 4u * d); i++) {
      dq[at + 4u * d + i] = value[i];
    }
  } else {
    let p = 4u * (at + d);
    dq[p] = value.x;
    dq[p + 1u] = value.y;
    dq[p + 2u] = value.z;
    dq[p + 3u] = value.w;
  }
}

fn store_rows_dq(at: vec4u, d: u32, values: mat4x4f) {
  store_dq(at.x, d, values[0]);
  store_dq(at.y, d, values[1]);
  store_dq(at.z, d, values[2]);
  store_dq(at.w, d, values[3]);
}

// Four rows of an operand, one in each column.
fn rows_q(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(load_q(at.x, d), load_q(at.y, d), load_q(at.z, d), load_q(at.w, d));
}

fn rows_k(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(load_k(at.x, d), load_k(at.y, d), load_k(at.z, d), load_k(at.w, d));
}

fn rows_v(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(load_v(at.x, d), load_v(at.y, d), load_v(at.z, d), load_v(at.w, d));
}

fn rows_dy(at: vec4u, d: u32) -> mat4x4f {
  return mat4x4f(load_dy(at.x, d), load_dy(at.y, d), load_dy(at.z, d), load_dy(at.w, d));
}

// A hole in the mask may hold anything, also NaN.
fn kept_rows_k(at: vec4u, d: u32, kept: vec4<bool>) -> mat4x4f {
  let rows = rows_k(at, d);
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

// p of four rows with one of the other kind, from its scores; `ahead` is key minus position.
fn weights(scores: vec4f, ahead: vec4i, most: vec4f, shrink: vec4f, kept: vec4<bool>) -> vec4f {
  let seen = (ahead <= vec4i(params.right)) & (ahead >= vec4i(-params.left)) & kept;
  return select(vec4f(), exp_below(scores - most) * shrink, seen);
}

// The same for four of the other kind, one a column: keys j, of which some are kept.
fn weights_keys(scores: mat4x4f, j: vec4u, positions: vec4i, first: u32, facts: mat4x4f, kept: vec4<bool>) -> mat4x4f {
  let s = mat4x4f(
    scores[0] + bias_of(first, j.x, positions),
    scores[1] + bias_of(first, j.y, positions),
    scores[2] + bias_of(first, j.z, positions),
    scores[3] + bias_of(first, j.w, positions),
  );
  return mat4x4f(
    weights(s[0], vec4i(i32(j.x)) - positions, facts[0], facts[1], vec4<bool>(kept.x)),
    weights(s[1], vec4i(i32(j.y)) - positions, facts[0], facts[1], vec4<bool>(kept.y)),
    weights(s[2], vec4i(i32(j.z)) - positions, facts[0], facts[1], vec4<bool>(kept.z)),
    weights(s[3], vec4i(i32(j.w)) - positions, facts[0], facts[1], vec4<bool>(kept.w)),
  );
}

// p (dp - delta); 0 where p is 0, whatever dp of a masked value is.
fn ds_of(p: vec4f, dp: vec4f, delta: vec4f) -> vec4f {
  return select(p * (dp - delta), vec4f(), p == vec4f());
}

// Maxima, reciprocal sums and deltas of four rows, in the columns.
fn facts_of(r: vec4u) -> mat4x4f {
  return transpose(mat4x4f(row[r.x], row[r.y], row[r.z], row[r.w]));
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
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
    let at_dy = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z + inside * params.y_steps.w;
    let positions = vec4i(inside) + i32(params.keys) - i32(params.queries);
    let start_bias = first_bias(batch, head);
    let at_row = (batch * params.heads + head) * params.queries + inside;
    let facts = facts_of(at_row);

    var sums = array<mat4x4f, VECTORS>();

    // Keys that some row sees: first <= j < last.
    let last = min(count_keys(batch), positions.w + params.right + 1);
    let first = max(0, positions.x - params.left);
    for (var tile = first; tile < last; tile += 8) {
      let j0 = u32(tile) + vec4u(0u, 1u, 2u, 3u);
      let j1 = j0 + 4u;
      let kept0 = are_kept(batch, j0, last);
      let kept1 = are_kept(batch, j1, last);
      // Keys past the last repeat it, and weigh nothing.
      let near = min(j0, vec4u(u32(last - 1)));
      let far = min(j1, vec4u(u32(last - 1)));
      let at_k0 = start_k + near * params.k_steps.w;
      let at_k1 = start_k + far * params.k_steps.w;
      let at_v0 = start_v + near * params.v_steps.w;
      let at_v1 = start_v + far * params.v_steps.w;
      var s0 = mat4x4f();
      var s1 = mat4x4f();
      var dp0 = mat4x4f();
      var dp1 = mat4x4f();
      for (var d = 0u; d < params.vectors; d++) {
        let a = transpose(rows_q(at_q, d) * params.scale);
        s0 += a * rows_k(at_k0, d);
        s1 += a * rows_k(at_k1, d);
        let b = transpose(rows_dy(at_dy, d));
        dp0 += b * rows_v(at_v0, d);
        dp1 += b * rows_v(at_v1, d);
      }
      let p0 = weights_keys(s0, j0, positions, start_bias, facts, kept0);
      let p1 = weights_keys(s1, j1, positions, start_bias, facts, kept1);
      let ds0 = transpose(params.scale * mat4x4f(
        ds_of(p0[0], dp0[0], facts[2]),
        ds_of(p0[1], dp0[1], facts[2]),
        ds_of(p0[2], dp0[2], facts[2]),
        ds_of(p0[3], dp0[3], facts[2]),
      ));
      let ds1 = transpose(params.scale * mat4x4f(
        ds_of(p1[0], dp1[0], facts[2]),
        ds_of(p1[1], dp1[1], facts[2]),
        ds_of(p1[2], dp1[2], facts[2]),
        ds_of(p1[3], dp1[3], facts[2]),
      ));
      for (var d = 0u; d < vectors; d++) {
        let near_keys = kept_rows_k(at_k0, first_vector + d, kept0);
        let far_keys = kept_rows_k(at_k1, first_vector + d, kept1);
        sums[d] += near_keys * ds0 + far_keys * ds1;
      }
    }
    for (var d = 0u; d < vectors; d++) {
      store_rows_dq(at_q, first_vector + d, sums[d]);
    }
  }
}
