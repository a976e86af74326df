// Softmax of a stored matrix of attention scores, in place, and its gradient: the plain way that forward.wgsl avoids.
// p_ij = exp(s_ij - m_i) / sum over the keys j that query i sees, else 0; ds_ij = scale p_ij (dp_ij - sum_j p_ij dp_ij).
// What a query sees is as in forward.wgsl. A row that sees no key is 0.
// Shapes: s, p, dp (B, H, Tq, Tk), R = B H Tq rows.
// Dispatch: ceil(R / ROWS) workgroups, LANES invocations a row.

override LANES: u32 = 32u;           // invocations a row
override ROWS: u32 = 2u;             // rows a workgroup
override MASK: u32 = 0u;             // what mask holds: 0 nothing, 1 a count of keys a sequence, 2 a flag a key
override BIAS: u32 = 0u;             // what bias holds: 0 nothing, 1 a slope a head, 2 a value a score

const HIDDEN = -1e30;                // score of a key that is not seen
const FLOOR = -1e29;                 // where the maximum starts: exp(HIDDEN - FLOOR) = 0

struct Params {
  rows: u32,       // R
  heads: u32,      // H
  queries: u32,    // Tq
  keys: u32,       // Tk
  left: i32,
  right: i32,
  scale: f32,
  bias_steps: vec2u,   // elements from batch to batch and head to head of a bias; 0 where it is shared
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<u32>;       // (B) or (B, Tk)
@group(0) @binding(2) var<storage, read> bias: array<f32>;       // (H), or (B or 1, H or 1, Tq, Tk)
@group(0) @binding(3) var<storage, read_write> s: array<f32>;    // (B, H, Tq, Tk), becomes p
@group(0) @binding(4) var<storage, read> p: array<f32>;          // (B, H, Tq, Tk)
@group(0) @binding(5) var<storage, read_write> dp: array<f32>;   // (B, H, Tq, Tk), becomes ds

var<workgroup> partial: array<f32, LANES * ROWS>;

// exp of a difference to a maximum: 0 from -87 down.
fn exp_below(x: f32) -> f32 {
  return select(exp(clamp(x, -87.0, 0.0)), 0.0, x < -87.0);
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

// Where the bias of a head begins.
fn first_bias(batch: u32, head: u32) -> u32 {
  return select(head, batch * params.bias_steps.x + head * params.bias_steps.y, BIAS == 2u);
}

// What is added to the score of key j with a query; -inf becomes what a hidden key has.
fn bias_of(first: u32, j: u32, query: u32) -> f32 {
  if (BIAS == 1u) {
    return -bias[first] * f32(abs(i32(j + params.queries) - i32(query + params.keys)));
  }
  if (BIAS == 2u) {
    return max(bias[first + query * params.keys + j], HIDDEN);
  }
  return 0.0;
}

// s_ij, HIDDEN where it is not seen.
fn score_of(row: u32, j: u32) -> f32 {
  let batch = row / params.queries / params.heads;
  let head = row / params.queries % params.heads;
  let query = row % params.queries;
  let ahead = i32(j + params.queries) - i32(query + params.keys);
  let seen = ahead <= params.right && ahead >= -params.left && is_kept(batch, j, count_keys(batch));
  return select(HIDDEN, s[row * params.keys + j] * params.scale + bias_of(first_bias(batch, head), j, query), seen);
}

@compute @workgroup_size(LANES, ROWS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let keys = select(0u, params.keys, row < params.rows);
  let first = local.y * LANES;
  var most = FLOOR;
  for (var j = local.x; j < keys; j += LANES) {
    most = max(most, score_of(row, j));
  }
  partial[first + local.x] = most;
  workgroupBarrier();
  for (var i = 0u; i < LANES; i++) {
    most = max(most, partial[first + i]);
  }
  workgroupBarrier();
  var total = 0.0;
  for (var j = local.x; j < keys; j += LANES) {
    let weight = exp_below(score_of(row, j) - most);
    s[row * params.keys + j] = weight;
    total += weight;
  }
  partial[first + local.x] = total;
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < LANES; i++) {
    total += partial[first + i];
  }
  let shrink = select(1.0 / total, 0.0, total == 0.0);
  for (var j = local.x; j < keys; j += LANES) {
    s[row * params.keys + j] *= shrink;
  }
}

@compute @workgroup_size(LANES, ROWS)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let keys = select(0u, params.keys, row < params.rows);
  let start = row * params.keys;
  let first = local.y * LANES;
  var sum = 0.0;
  for (var j = local.x; j < keys; j += LANES) {
    sum += p[start + j] * dp[start + j];
  }
  partial[first + local.x] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < LANES; i++) {
    sum += partial[first + i];
  }
  for (var j = local.x; j < keys; j += LANES) {
    dp[start + j] = params.scale * p[start + j] * (dp[start + j] - sum);
  }
}
