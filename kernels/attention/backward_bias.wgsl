// Gradient of attention (forward.wgsl) for its bias, with the scores computed again:
// dbias_ij = sum of ds_ij = p_ij (dp_ij - delta_i), p_ij = exp(s_ij - m_i) / l_i, dp_ij = dy_i v_j, over the batches and
// heads that share the bias, one after the other, so results repeat bit by bit.
// Shapes: as in forward.wgsl; dbias as the bias (B or 1, H or 1, Tq, Tk).
// Dispatch: x = ceil(Tk / 32), y = tiles of 32 queries, all or some of them, z = matrices of the bias. An invocation has
// 4 x 4 scores.

alias word = vec4f;                  // f32 with ELEMENTS
override ELEMENTS: bool = false;
override MASK: u32 = 0u;             // what mask holds: 0 nothing, 1 a count of keys a sequence, 2 a flag a key
override BIAS: u32 = 2u;             // what bias holds: 0 nothing, 1 a slope a head, 2 a value a score
override ADD: bool = false;          // dbias += result

const HIDDEN = -1e30;                // score of a key that is not seen

struct Params {
  batch: u32,      // B
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
  matrices: vec2u,     // of the bias along batch and heads
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
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // (B or 1, H or 1, Tq, Tk)
@group(0) @binding(6) var<storage, read> dy: array<word>;        // (B, H, Tq, D)
@group(0) @binding(7) var<storage, read> row: array<vec4f>;      // (B, H, Tq) of facts.wgsl
@group(0) @binding(8) var<storage, read_write> dbias: array<f32>;   // (B or 1, H or 1, Tq, Tk)

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

// p (dp - delta); 0 where p is 0, whatever dp of a masked value is.
fn ds_of(p: vec4f, dp: vec4f, delta: vec4f) -> vec4f {
  return select(p * (dp - delta), vec4f(), p == vec4f());
}

// Maxima, reciprocal sums and deltas of four rows, in the columns.
fn facts_of(r: vec4u) -> mat4x4f {
  return transpose(mat4x4f(row[r.x], row[r.y], row[r.z], row[r.w]));
}

// ds of four queries with four keys, one a column, for one batch and head.
fn slopes_of(batch: u32, head: u32, mine: vec4u, j: vec4u) -> mat4x4f {
  let inside = min(mine, vec4u(params.queries - 1u));
  let near = min(j, vec4u(params.keys - 1u));
  let at_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z + inside * params.q_steps.w;
  let at_dy = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z + inside * params.y_steps.w;
  let key_head = head / params.group;
  let at_k = params.k_steps.x + batch * params.k_steps.y + key_head * params.k_steps.z + near * params.k_steps.w;
  let at_v = params.v_steps.x + batch * params.v_steps.y + key_head * params.v_steps.z + near * params.v_steps.w;
  var scores = mat4x4f();
  var dp = mat4x4f();
  for (var d = 0u; d < params.vectors; d++) {
    scores = scores + transpose(rows_q(at_q, d) * params.scale) * rows_k(at_k, d);
    dp = dp + transpose(rows_dy(at_dy, d)) * rows_v(at_v, d);
  }
  let positions = vec4i(inside) + i32(params.keys) - i32(params.queries);
  let facts = facts_of((batch * params.heads + head) * params.queries + inside);
  let last = count_keys(batch);
  let start = first_bias(batch, head);
  var ds = mat4x4f();
  for (var n = 0u; n < 4u; n++) {
    let s = scores[n] + bias_of(start, j[n], positions);
    let ahead = vec4i(i32(j[n])) - positions;
    let p = weights(s, ahead, facts[0], facts[1], vec4<bool>(is_kept(batch, j[n], last)));
    ds[n] = ds_of(p, dp[n], facts[2]);
  }
  return ds;
}

@compute @workgroup_size(8, 8)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let mine = ((params.tile + group.y) * 8u + local.y) * 4u + vec4u(0u, 1u, 2u, 3u);
  let j = (group.x * 8u + local.x) * 4u + vec4u(0u, 1u, 2u, 3u);
  if (mine.x < params.queries && j.x < params.keys) {
    var sum = mat4x4f();
    for (var batch = group.z / params.matrices.y; batch < params.batch; batch += params.matrices.x) {
      for (var head = group.z % params.matrices.y; head < params.heads; head += params.matrices.y) {
        sum = sum + slopes_of(batch, head, mine, j);
      }
    }
    for (var n = 0u; n < 4u; n++) {
      for (var i = 0u; i < 4u; i++) {
        if (j[n] < params.keys && mine[i] < params.queries) {
          let at = (group.z * params.queries + mine[i]) * params.keys + j[n];
          if (ADD) {
            dbias[at] += sum[n][i];
          } else {
            dbias[at] = sum[n][i];
          }
        }
      }
    }
  }
}
