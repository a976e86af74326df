// The gradient of w, the logarithm of what a step of retention leaves of the state. A state hands e^(w_t) of itself on, so
//   dw_t = sum over n >= t of (q_n . dq_n - k_n . dk_n) + <S_T, dS_T>:
// what reaches steps from t on, less what comes from them, plus what is in the last state.
// Shapes: B batch, T steps, H heads, K channels of q and k, V of v, G heads of q and k (H / G share one).
// Dispatch: `dots` an invocation for a step of a head, ceil(B T H / 64); then `sums` a workgroup for a head, B H, which adds
// up from the last step to the first.
// Source: worked out from equation 5 of Sun et al. 2023, https://arxiv.org/abs/2307.08621; compare appendix C of
// Yang et al. 2023, https://arxiv.org/abs/2312.06635.

override UPSTREAM: bool = false;  // the last state has a gradient

struct Params {
  steps: u32,      // T
  heads: u32,      // H
  rows: u32,       // B T H
  all: u32,        // B H
  key_size: u32,   // K
  size: u32,       // V
  key_heads: u32,  // G
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // (B, T, G, K)
@group(0) @binding(2) var<storage, read> k: array<f32>;         // (B, T, G, K)
@group(0) @binding(3) var<storage, read> dq: array<f32>;        // (B, T, H, K)
@group(0) @binding(4) var<storage, read> dk: array<f32>;        // (B, T, H, K)
@group(0) @binding(5) var<storage, read> after: array<f32>;     // (B, H, K, V)
@group(0) @binding(6) var<storage, read> dafter: array<f32>;    // (B, H, K, V)
@group(0) @binding(7) var<storage, read_write> dw: array<f32>;  // (B, T, H): each step's own part, then the gradient

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn dots(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  if (id < params.rows) {
    let h = id % params.heads / (params.heads / params.key_heads);
    let keys = (id / params.heads * params.key_heads + h) * params.key_size;
    var sum = 0.0;
    for (var i = 0u; i < params.key_size; i++) {
      let at = id * params.key_size + i;
      sum += q[keys + i] * dq[at] - k[keys + i] * dk[at];
    }
    dw[id] = sum;
  }
}

@compute @workgroup_size(64)
fn sums(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = group.x + group.y * groups.x;
  let values = params.key_size * params.size;
  var share = 0.0;
  if (UPSTREAM && head < params.all) {
    for (var i = lane; i < values; i += 64u) {
      share += after[head * values + i] * dafter[head * values + i];
    }
  }
  partial[lane] = share;
  workgroupBarrier();
  if (lane == 0u && head < params.all) {
    var total = 0.0;
    for (var i = 0u; i < 64u; i++) {
      total += partial[i];
    }
    for (var t = params.steps; t > 0u; t--) {
      let at = (head / params.heads * params.steps + t - 1u) * params.heads + head % params.heads;
      total += dw[at];
      dw[at] = total;
    }
  }
}
