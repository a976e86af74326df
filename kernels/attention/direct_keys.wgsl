// Gradients of attention (forward.wgsl) for k and v, with the scores computed again:
// p_ij = exp(s_ij - m_i) / l_i, dp_ij = dy_i v_j, ds_ij = p_ij (dp_ij - delta_i), dk_j = scale sum_i ds_ij q_i,
// dv_j = sum_i p_ij dy_i. Each is summed in a fixed order, over the heads of a group too, so results repeat bit by bit.
// Without workgroup memory, for CPU emulations of a GPU, as direct.wgsl is of forward.wgsl. An invocation has four rows and
// goes through those of the other kind eight at a time; it sums 4 VECTORS columns of their gradients.
// Shapes: as in backward_keys.wgsl.
// Dispatch: x = tiles of 4 LANES keys, all or some of them, y = H / group, z = B times
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
  tile: u32,       // the first of this launch
  left: i32,
  right: i32,
  scale: f32,
  dv_first: u32,
  bias_steps: vec2u,   // elements from batch to batch and head to head of a bias; 0 where it is shared
  q_steps: vec4u,
  k_steps: vec4u,
  v_steps: vec4u,
  y_steps: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<word>;          // (B, H, Tq, D)
@group(0) @binding(2) var<storage, read> k: array<word>;          // (B, H / group, Tk, D)
@group(0) @binding(3) var<storage, read> v: array<word>;          // (B, H / group, Tk, D)
@group(0) @binding(4) var<storage, read> mask: array<u32>;        // (B) or (B, Tk)
@group(0) @binding(5) var<storage, read> bias: array<f32>;        // (H), or (B or 1, H or 1, Tq, Tk)
@group(0) @binding(6) var<storage, read> dy: array<word>;         // (B, H, Tq, D)
@group(0) @binding(7) var<storage, read> row: array<vec4f>;       // (B, H, Tq) of facts.wgsl
@group(0) @binding(8) var<storage, read_write> dkv: array<f32>;   // (B, H / group, Tk, D), twice

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

fn store_dkv(at: u32, d: u32, value: vec4f) {
  if (ELEMENTS) {
    for (var i = 0u; i < min(4u, params.size - 4u * d); i++) {
      dkv[at + 4u * d + i] = value[i];
    }
  } else {
    let p = 4u * (at + d);
    dkv[p] = value.x;
    dkv[p + 1u] = value.y;
    dkv[p + 2u] = value.z;
    dkv[p + 3u] = value.w;
  }
}

fn store_rows_dkv(at: vec4u, d: u32, values: mat4x4f) {
  store_dkv(at.x, d, values[0]);
  store_dkv(at.y, d, values[1]);
  store_dkv(at.z, d, values[2]);
  store_dkv(at.w, d, values[3]);
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

// What is added to the scores of four keys with the query at a position; -inf becomes what a hidden key has.
fn bias_of(first: u32, keys: vec4u, position: i32) -> vec4f {
  if (BIAS == 1u) {
    return -bias[first] * vec4f(abs(vec4i(keys) - position));
  }
  if (BIAS == 2u) {
    let row = min(u32(position + i32(params.queries) - i32(params.keys)), params.queries - 1u);
    let at = first + row * params.keys + min(keys, vec4u(params.keys - 1u));
    return max(vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]), vec4f(HIDDEN));
  }
  return vec4f();
}

// p of four rows with one of the other kind, from its scores; `ahead` is key minus position.
fn weights(scores: vec4f, ahead: vec4i, most: vec4f, shrink: vec4f, kept: vec4<bool>) -> vec4f {
  let seen = (ahead <= vec4i(params.right)) & (ahead >= vec4i(-params.left)) & kept;
  return select(vec4f(), exp_below(scores - most) * shrink, seen);
}

// Queries r with their facts, of which those before `last` exist; `mine` are the keys of the invocation.
fn weights_queries(scores: mat4x4f, r: vec4u, last: u32, mine: vec4u, kept: vec4<bool>, first: u32, facts: mat4x4f) -> mat4x4f {
  let at = vec4i(r) + i32(params.keys) - i32(params.queries);
  let s = mat4x4f(
    scores[0] + bias_of(first, mine, at.x),
    scores[1] + bias_of(first, mine, at.y),
    scores[2] + bias_of(first, mine, at.z),
    scores[3] + bias_of(first, mine, at.w),
  );
  return mat4x4f(
    weights(s[0], vec4i(mine) - at.x, vec4f(facts[0].x), vec4f(facts[1].x), kept & vec4<bool>(r.x < last)),
    weights(s[1], vec4i(mine) - at.y, vec4f(facts[0].y), vec4f(facts[1].y), kept & vec4<bool>(r.y < last)),
    weights(s[2], vec4i(mine) - at.z, vec4f(facts[0].z), vec4f(facts[1].z), kept & vec4<bool>(r.z < last)),
    weights(s[3], vec4i(mine) - at.w, vec4f(facts[0].w), vec4f(facts[1].w), kept & vec4<bool>(r.w < last)),
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
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let columns = (params.vectors + VECTORS - 1u) / VECTORS;
  let batch = group.z / columns;
  let first_vector = group.z % columns * VECTORS;
  let vectors = min(VECTORS, params.vectors - first_vector);
  let first_row = ((params.tile + group.x) * LANES + lane) * 4u;
  if (first_row < params.keys) {
    let count = count_keys(batch);
    // Rows past the end repeat the last one, in all that they read and write.
    let mine = min(first_row + vec4u(0u, 1u, 2u, 3u), vec4u(params.keys - 1u));
    let kept = are_kept(batch, mine, count);
    let at_k = params.k_steps.x + batch * params.k_steps.y + group.y * params.k_steps.z + mine * params.k_steps.w;
    let at_v = params.v_steps.x + batch * params.v_steps.y + group.y * params.v_steps.z + mine * params.v_steps.w;
    let at_dv = params.dv_first + at_v;

    // Queries that see some key of the invocation: first <= i < last.
    let shift = i32(params.keys) - i32(params.queries);
    let bottom = min(i32(mine.w), count - 1);
    let first = max(0, i32(first_row) - params.right - shift);
    let last = select(0, min(i32(params.queries), bottom + params.left - shift + 1), bottom >= i32(first_row));
    var dk = array<mat4x4f, VECTORS>();
    var dv = array<mat4x4f, VECTORS>();
    for (var member = 0u; member < params.group; member++) {
      let head = group.y * params.group + member;
      let start_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z;
      let start_dy = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z;
      let start_row = (batch * params.heads + head) * params.queries;
      let start_bias = first_bias(batch, head);
      for (var tile = first; tile < last; tile += 8) {
        let r0 = u32(tile) + vec4u(0u, 1u, 2u, 3u);
        let r1 = r0 + 4u;
        // Queries past the last repeat it, and weigh nothing.
        let near = min(r0, vec4u(u32(last - 1)));
        let far = min(r1, vec4u(u32(last - 1)));
        let at_q0 = start_q + near * params.q_steps.w;
        let at_q1 = start_q + far * params.q_steps.w;
        let at_dy0 = start_dy + near * params.y_steps.w;
        let at_dy1 = start_dy + far * params.y_steps.w;
        var s0 = mat4x4f();
        var s1 = mat4x4f();
        var dp0 = mat4x4f();
        var dp1 = mat4x4f();
        for (var d = 0u; d < params.vectors; d++) {
          // The factor belongs to q, so that scores round as they did before.
          let a = transpose(rows_k(at_k, d));
          s0 += a * (rows_q(at_q0, d) * params.scale);
          s1 += a * (rows_q(at_q1, d) * params.scale);
          let b = transpose(rows_v(at_v, d));
          dp0 += b * rows_dy(at_dy0, d);
          dp1 += b * rows_dy(at_dy1, d);
        }
        let facts0 = facts_of(start_row + near);
        let facts1 = facts_of(start_row + far);
        let p0 = weights_queries(s0, r0, u32(last), mine, kept, start_bias, facts0);
        let p1 = weights_queries(s1, r1, u32(last), mine, kept, start_bias, facts1);
        let ds0 = transpose(params.scale * mat4x4f(
          ds_of(p0[0], dp0[0], vec4f(facts0[2].x)),
          ds_of(p0[1], dp0[1], vec4f(facts0[2].y)),
          ds_of(p0[2], dp0[2], vec4f(facts0[2].z)),
          ds_of(p0[3], dp0[3], vec4f(facts0[2].w)),
        ));
        let ds1 = transpose(params.scale * mat4x4f(
          ds_of(p1[0], dp1[0], vec4f(facts1[2].x)),
          ds_of(p1[1], dp1[1], vec4f(facts1[2].y)),
          ds_of(p1[2], dp1[2], vec4f(facts1[2].z)),
          ds_of(p1[3], dp1[3], vec4f(facts1[2].w)),
        ));
        let weights0 = transpose(p0);
        let weights1 = transpose(p1);
        for (var d = 0u; d < vectors; d++) {
          dk[d] += rows_q(at_q0, first_vector + d) * ds0 + rows_q(at_q1, first_vector + d) * ds1;
          dv[d] += rows_dy(at_dy0, first_vector + d) * weights0 + rows_dy(at_dy1, first_vector + d) * weights1;
        }
      }
    }
    for (var d = 0u; d < vectors; d++) {
      store_rows_dkv(at_k, first_vector + d, dk[d]);
      store_rows_dkv(at_dv, first_vector + d, dv[d]);
    }
  }
}
