// Gradients of attention (forward.wgsl) for k and v, with the scores computed again:
// p_ij = exp(s_ij - m_i) / l_i, dp_ij = dy_i v_j, ds_ij = p_ij (dp_ij - delta_i), dk_j = scale sum_i ds_ij q_i,
// dv_j = sum_i p_ij dy_i. Each is summed in a fixed order, over the heads of a group too, so results repeat bit by bit.
// Shapes: as in forward.wgsl; dy as y, dk as k and dv as v, from dv_first on where one tensor holds both.
// Dispatch: x = tiles of 4 HEIGHT keys, all or some of them, y = H / group, z = B. A workgroup has a tile and goes
// through the rows of the other kind in steps of OTHERS; an invocation works on rows y, y + HEIGHT, ... (4) of the
// tile: on 4 x 4 scores, then on COLUMNS vectors of each row's gradient.
// Source: Dao, FlashAttention-2, https://arxiv.org/abs/2307.08691, algorithm 2.

override WIDTH: u32 = 8u;            // invocations along streamed rows and columns
override HEIGHT: u32 = 4u;           // invocations along the tile's rows
override COLUMNS: u32 = 2u;          // 1 or 2: vectors of a gradient an invocation, D / 4 / WIDTH rounded up
override OTHERS: u32 = 8u;           // rows of a step: a multiple of 4, at most 4 WIDTH
alias word = vec4f;                  // f32 with ELEMENTS
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

// Rows of the tile (own) and of a step (other) of the operands of the scores and of dp, one word a row longer than
// they need, so that lanes that read down a column meet every bank.
var<workgroup> own_scores: array<vec4f, 4u * HEIGHT * (COLUMNS * WIDTH + 1u)>;
var<workgroup> own_dp: array<vec4f, 4u * HEIGHT * (COLUMNS * WIDTH + 1u)>;
var<workgroup> other_scores: array<vec4f, OTHERS * (COLUMNS * WIDTH + 1u)>;
var<workgroup> other_dp: array<vec4f, OTHERS * (COLUMNS * WIDTH + 1u)>;
var<workgroup> tile_p: array<vec4f, OTHERS * HEIGHT>;
var<workgroup> tile_ds: array<vec4f, OTHERS * HEIGHT>;

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

fn store_rows_dkv(start: u32, step: u32, rows: vec4u, d: u32, values: mat4x4f) {
  if (d < params.vectors) {
    let at = vec4u(start) + rows * step;
    if (rows.x < params.keys) { store_dkv(at.x, d, values[0]); }
    if (rows.y < params.keys) { store_dkv(at.y, d, values[1]); }
    if (rows.z < params.keys) { store_dkv(at.z, d, values[2]); }
    if (rows.w < params.keys) { store_dkv(at.w, d, values[3]); }
  }
}

// Scores and dp of the four rows of lane_y with the four streamed rows of lane_x, one streamed row a column.
struct Products {
  scores: mat4x4f,
  dp: mat4x4f,
}

fn multiply_rows(lane_x: u32, lane_y: u32) -> Products {
  let pitch = COLUMNS * WIDTH + 1u;
  let own_step = HEIGHT * pitch;
  let other_step = OTHERS / 4u * pitch;
  var result = Products(mat4x4f(), mat4x4f());
  for (var d = 0u; d < params.vectors; d++) {
    let i = lane_y * pitch + d;
    let j = lane_x * pitch + d;
    let a = mat4x4f(own_scores[i], own_scores[i + own_step], own_scores[i + 2u * own_step], own_scores[i + 3u * own_step]);
    result.scores += mat4x4f(
      other_scores[j] * a,
      other_scores[j + other_step] * a,
      other_scores[j + 2u * other_step] * a,
      other_scores[j + 3u * other_step] * a,
    );
    let b = mat4x4f(own_dp[i], own_dp[i + own_step], own_dp[i + 2u * own_step], own_dp[i + 3u * own_step]);
    result.dp += mat4x4f(
      other_dp[j] * b,
      other_dp[j + other_step] * b,
      other_dp[j + 2u * other_step] * b,
      other_dp[j + 3u * other_step] * b,
    );
  }
  return result;
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

// p of a streamed row with the four rows of an invocation, from its scores; `ahead` is key minus position.
fn weights(scores: vec4f, ahead: vec4i, most: vec4f, shrink: vec4f, kept: vec4<bool>) -> vec4f {
  let seen = (ahead <= vec4i(params.right)) & (ahead >= vec4i(-params.left)) & kept;
  return select(vec4f(), exp_below(scores - most) * shrink, seen);
}

// Stores weights of the lane's four streamed rows for the other lanes of its rows.
fn share_ds(lane_x: u32, lane_y: u32, ds: mat4x4f) {
  let at = lane_x * HEIGHT + lane_y;
  let step = OTHERS / 4u * HEIGHT;
  tile_ds[at] = ds[0];
  tile_ds[at + step] = ds[1];
  tile_ds[at + 2u * step] = ds[2];
  tile_ds[at + 3u * step] = ds[3];
}

fn share_p(lane_x: u32, lane_y: u32, p: mat4x4f) {
  let at = lane_x * HEIGHT + lane_y;
  let step = OTHERS / 4u * HEIGHT;
  tile_p[at] = p[0];
  tile_p[at + step] = p[1];
  tile_p[at + 2u * step] = p[2];
  tile_p[at + 3u * step] = p[3];
}

// ds of four streamed rows from j on, times their column d.
fn weigh_ds(lane_y: u32, j: u32, d: u32) -> mat4x4f {
  let pitch = COLUMNS * WIDTH + 1u;
  let at = j * pitch + d;
  let i = j * HEIGHT + lane_y;
  return outer(tile_ds[i], other_scores[at]) + outer(tile_ds[i + HEIGHT], other_scores[at + pitch])
    + outer(tile_ds[i + 2u * HEIGHT], other_scores[at + 2u * pitch])
    + outer(tile_ds[i + 3u * HEIGHT], other_scores[at + 3u * pitch]);
}

// And p.
fn weigh_p(lane_y: u32, j: u32, d: u32) -> mat4x4f {
  let pitch = COLUMNS * WIDTH + 1u;
  let at = j * pitch + d;
  let i = j * HEIGHT + lane_y;
  return outer(tile_p[i], other_dp[at]) + outer(tile_p[i + HEIGHT], other_dp[at + pitch])
    + outer(tile_p[i + 2u * HEIGHT], other_dp[at + 2u * pitch])
    + outer(tile_p[i + 3u * HEIGHT], other_dp[at + 3u * pitch]);
}

@compute @workgroup_size(WIDTH, HEIGHT)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let lanes = WIDTH * HEIGHT;
  let pitch = COLUMNS * WIDTH + 1u;
  let height = 4u * HEIGHT;
  let stride = OTHERS / 4u;
  let batch = group.z;
  let first_row = (params.tile + group.x) * height;
  let start_k = params.k_steps.x + batch * params.k_steps.y + group.y * params.k_steps.z;
  let start_v = params.v_steps.x + batch * params.v_steps.y + group.y * params.v_steps.z;
  let count = count_keys(batch);

  // Queries that see some key of the tile: first <= i < last.
  let shift = i32(params.keys) - i32(params.queries);
  let bottom = min(i32(first_row + height), count) - 1;
  let first = max(0, i32(first_row) - params.right - shift);
  let last = select(0, min(i32(params.queries), bottom + params.left - shift + 1), bottom >= i32(first_row));

  for (var i = lane; i < height * params.vectors; i += lanes) {
    let j = first_row + i / params.vectors;
    let d = i % params.vectors;
    var key = vec4f();
    var value = vec4f();
    if (is_kept(batch, j, count)) {
      key = load_k(start_k + j * params.k_steps.w, d);
      value = load_v(start_v + j * params.v_steps.w, d);
    }
    own_scores[i / params.vectors * pitch + d] = key;
    own_dp[i / params.vectors * pitch + d] = value;
  }

  let mine = first_row + local.y + HEIGHT * vec4u(0u, 1u, 2u, 3u);
  let kept = vec4<bool>(
    is_kept(batch, mine.x, count),
    is_kept(batch, mine.y, count),
    is_kept(batch, mine.z, count),
    is_kept(batch, mine.w, count),
  );
  var sum_k0 = mat4x4f();
  var sum_k1 = mat4x4f();
  var sum_v0 = mat4x4f();
  var sum_v1 = mat4x4f();
  for (var member = 0u; member < params.group; member++) {
    let head = group.y * params.group + member;
    let start_q = params.q_steps.x + batch * params.q_steps.y + head * params.q_steps.z;
    let start_y = params.y_steps.x + batch * params.y_steps.y + head * params.y_steps.z;
    let start_bias = first_bias(batch, head);
    for (var tile = first; tile < last; tile += i32(OTHERS)) {
      for (var i = lane; i < OTHERS * params.vectors; i += lanes) {
        let r = u32(tile) + i / params.vectors;
        let d = i % params.vectors;
        var value = vec4f();
        var upstream = vec4f();
        if (i32(r) < last) {
          value = load_q(start_q + r * params.q_steps.w, d) * params.scale;
          upstream = load_dy(start_y + r * params.y_steps.w, d);
        }
        other_scores[i / params.vectors * pitch + d] = value;
        other_dp[i / params.vectors * pitch + d] = upstream;
      }
      workgroupBarrier();

      if (local.x < stride) {
        let products = multiply_rows(local.x, local.y);
        var p = mat4x4f();
        var ds = mat4x4f();
        for (var n = 0u; n < 4u; n++) {
          let r = u32(tile) + local.x + n * stride;
          let fact = row[(batch * params.heads + head) * params.queries + min(r, params.queries - 1u)];
          let ahead = vec4i(mine) - (i32(r) + shift);
          let scores = products.scores[n] + bias_of(start_bias, mine, i32(r) + shift);
          p[n] = weights(scores, ahead, vec4f(fact.x), vec4f(fact.y), kept & vec4<bool>(i32(r) < last));
          ds[n] = p[n] * (products.dp[n] - fact.z);
        }
        share_p(local.x, local.y, p);
        share_ds(local.x, local.y, ds);
      }
      workgroupBarrier();

      for (var j = 0u; j < OTHERS; j += 4u) {
        sum_k0 += weigh_ds(local.y, j, local.x);
        sum_v0 += weigh_p(local.y, j, local.x);
        if (COLUMNS > 1u) {
          sum_k1 += weigh_ds(local.y, j, local.x + WIDTH);
          sum_v1 += weigh_p(local.y, j, local.x + WIDTH);
        }
      }
      workgroupBarrier();
    }
  }

  let start_dv = params.dv_first + start_v;
  store_rows_dkv(start_k, params.k_steps.w, mine, local.x, sum_k0);
  store_rows_dkv(start_dv, params.v_steps.w, mine, local.x, sum_v0);
  if (COLUMNS > 1u) {
    store_rows_dkv(start_k, params.k_steps.w, mine, local.x + WIDTH, sum_k1);
    store_rows_dkv(start_dv, params.v_steps.w, mine, local.x + WIDTH, sum_v1);
  }
}
