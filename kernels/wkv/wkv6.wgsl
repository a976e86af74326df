// The recurrence of RWKV-5 and 6: a matrix S a head, whose rows (key channels i) fade by d_t = exp(-exp(w_t)) a step:
//   y_t[j] = sum_i r_t[i] (S[i,j] + u[i] k_t[i] v_t[j]),  then  S[i,j] = d_t[i] S[i,j] + k_t[i] v_t[j]
// In RWKV-5 w is a parameter (H, N), in RWKV-6 it comes with each step. An invocation keeps a column of S, one value
// channel, in registers; r, k and d of STEPS steps are in workgroup memory.
// Shapes: B batch, T steps, H heads of N channels, P = ceil(T / SPAN).
// Dispatch: a workgroup a head: B H.
// Source: Peng et al. 2024, https://arxiv.org/abs/2404.05892, section 4.

override LANES: u32 = 64u;  // invocations: a value channel each, N or more
const VECTORS: u32 = 16u;   // vectors of four in a head, N / 4 rounded up
const STEPS: u32 = 16u;     // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  size: u32,      // N
  w_sample: u32,  // values from a batch entry's w to the next's, and from a step's: 0 if all have the same
  w_step: u32,
  given: u32,     // 1 if there is a state before the first step; else it is 0
  keep: u32,      // 1 to write what backward reads
  states: u32,    // where the states begin in kept
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;           // (B, T, H, N)
@group(0) @binding(2) var<storage, read> k: array<f32>;           // (B, T, H, N)
@group(0) @binding(3) var<storage, read> v: array<f32>;           // (B, T, H, N)
@group(0) @binding(4) var<storage, read> w: array<f32>;           // (B, T, H, N) or (H, N)
@group(0) @binding(5) var<storage, read> u: array<f32>;           // (H, N)
@group(0) @binding(6) var<storage, read> before: array<f32>;      // (B, H, N, N)
@group(0) @binding(7) var<storage, read_write> y: array<f32>;     // (B, T, H, N)
@group(0) @binding(8) var<storage, read_write> kept: array<f32>;  // last state (B, H, N, N); states before spans (P, B, H, N, N)

var<workgroup> tile_r: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_k: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_d: array<vec4f, STEPS * VECTORS>;
var<workgroup> bonus: array<f32, STEPS>;  // sum over i of r u k

// e^(-e^x): how much of the state a step leaves.
fn wkv_decay(x: f32) -> f32 {
  return exp(min(-exp(min(x, 80.0)), 0.0));
}

// Brings `count` steps from `first` on to workgroup memory; channels beyond N are 0.
fn wkv6_fill(head: u32, first: u32, count: u32, lane: u32) {
  let width = params.heads * params.size;
  let b = head / params.heads;
  let channel = head % params.heads * params.size;
  workgroupBarrier();
  for (var i = lane; i < count * VECTORS; i += LANES) {
    let t = first + i / VECTORS;
    let at = (b * params.steps + t) * width + channel;
    let w_at = b * params.w_sample + t * params.w_step + channel;
    var rs = vec4f();
    var ks = vec4f();
    var ds = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let c = i % VECTORS * 4u + e;
      if (c < params.size) {
        rs[e] = r[at + c];
        ks[e] = k[at + c];
        ds[e] = wkv_decay(w[w_at + c]);
      }
    }
    tile_r[i] = rs;
    tile_k[i] = ks;
    tile_d[i] = ds;
  }
  workgroupBarrier();
  for (var t = lane; t < count; t += LANES) {
    var sum = 0.0;
    for (var i = 0u; i < params.size; i++) {
      let at = t * VECTORS + i / 4u;
      sum += tile_r[at][i % 4u] * u[channel + i] * tile_k[at][i % 4u];
    }
    bonus[t] = sum;
  }
  workgroupBarrier();
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = group.x + group.y * groups.x;
  let size = params.size;
  let live = head < params.all && lane < size;
  let steps = select(0u, params.steps, head < params.all);
  let width = params.heads * size;
  let start = (head / params.heads * params.steps * params.heads + head % params.heads) * size + lane;
  let matrix = head * size * size + lane;
  var s = array<vec4f, VECTORS>();
  if (live && params.given == 1u) {
    for (var i = 0u; i < size; i++) {
      s[i / 4u][i % 4u] = before[matrix + i * size];
    }
  }
  for (var first = 0u; first < steps; first += STEPS) {
    if (live && params.keep == 1u && first % SPAN == 0u) {
      let at = params.states + first / SPAN * params.all * size * size + matrix;
      for (var i = 0u; i < size; i++) {
        kept[at + i * size] = s[i / 4u][i % 4u];
      }
    }
    let count = min(STEPS, steps - first);
    wkv6_fill(head, first, count, lane);
    if (live) {
      for (var t = 0u; t < count; t++) {
        let at = start + (first + t) * width;
        let value = v[at];
        var sum = vec4f();
        for (var q = 0u; q < VECTORS; q++) {
          let i = t * VECTORS + q;
          sum += tile_r[i] * s[q];
          s[q] = tile_d[i] * s[q] + tile_k[i] * value;
        }
        y[at] = dot(sum, vec4f(1.0)) + bonus[t] * value;
      }
    }
  }
  if (live) {
    for (var i = 0u; i < size; i++) {
      kept[matrix + i * size] = s[i / 4u][i % 4u];
    }
  }
}
