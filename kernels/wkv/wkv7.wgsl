// The recurrence of RWKV-7, a generalised delta rule: a matrix S a head, value (row i) by key (column j), with the decay
// d_t = exp(-exp(w_t)):
//   S = S (diag(d_t) + a_t b_t^T) + v_t k_t^T,  y_t = S r_t
// An invocation keeps a row of S, one value channel, in registers; r, d, k, a and b of STEPS steps are in workgroup memory.
// For backward, S a of every step and S before every span of SPAN steps are kept.
// Shapes: B batch, T steps, H heads of N channels, P = ceil(T / SPAN).
// Dispatch: a workgroup a head: B H.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

override LANES: u32 = 64u;  // invocations: a value channel each, N or more
const VECTORS: u32 = 16u;   // vectors of four in a head, N / 4 rounded up
const STEPS: u32 = 8u;      // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,   // T
  heads: u32,   // H
  all: u32,     // B H
  size: u32,    // N
  given: u32,   // 1 if there is a state before the first step; else it is 0
  keep: u32,    // 1 to write what backward reads
  after: u32,   // where each of these begins in out
  sa: u32,
  states: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;          // (B, T, H, N)
@group(0) @binding(2) var<storage, read> w: array<f32>;          // (B, T, H, N)
@group(0) @binding(3) var<storage, read> k: array<f32>;          // (B, T, H, N)
@group(0) @binding(4) var<storage, read> v: array<f32>;          // (B, T, H, N)
@group(0) @binding(5) var<storage, read> a: array<f32>;          // (B, T, H, N)
@group(0) @binding(6) var<storage, read> b: array<f32>;          // (B, T, H, N)
@group(0) @binding(7) var<storage, read> before: array<f32>;     // (B, H, N, N)
@group(0) @binding(8) var<storage, read_write> out: array<f32>;  // y (B, T, H, N); last state (B, H, N, N); S a (B, T, H, N); states (P, B, H, N, N)

var<workgroup> tile_r: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_d: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_k: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_a: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_b: array<vec4f, STEPS * VECTORS>;

// e^(-e^x): how much of the state a step leaves.
fn wkv_decay(x: f32) -> f32 {
  return exp(min(-exp(min(x, 80.0)), 0.0));
}

// Where the channels of a head begin at step 0.
fn wkv7_start(head: u32) -> u32 {
  return (head / params.heads * params.steps * params.heads + head % params.heads) * params.size;
}

// Brings `count` steps from `first` on to workgroup memory; channels beyond N are 0.
fn wkv7_fill(head: u32, first: u32, count: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < count * VECTORS; i += LANES) {
    let at = wkv7_start(head) + (first + i / VECTORS) * params.heads * params.size;
    var rs = vec4f();
    var ds = vec4f();
    var ks = vec4f();
    var av = vec4f();
    var bs = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let c = i % VECTORS * 4u + e;
      if (c < params.size) {
        rs[e] = r[at + c];
        ds[e] = wkv_decay(w[at + c]);
        ks[e] = k[at + c];
        av[e] = a[at + c];
        bs[e] = b[at + c];
      }
    }
    tile_r[i] = rs;
    tile_d[i] = ds;
    tile_k[i] = ks;
    tile_a[i] = av;
    tile_b[i] = bs;
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
  let start = wkv7_start(head) + lane;
  let row = (head * size + lane) * size;
  var s = array<vec4f, VECTORS>();
  if (live && params.given == 1u) {
    for (var j = 0u; j < size; j++) {
      s[j / 4u][j % 4u] = before[row + j];
    }
  }
  for (var first = 0u; first < steps; first += STEPS) {
    if (live && params.keep == 1u && first % SPAN == 0u) {
      let at = params.states + first / SPAN * params.all * size * size + row;
      for (var j = 0u; j < size; j++) {
        out[at + j] = s[j / 4u][j % 4u];
      }
    }
    let count = min(STEPS, steps - first);
    wkv7_fill(head, first, count, lane);
    if (live) {
      for (var t = 0u; t < count; t++) {
        let at = start + (first + t) * params.heads * size;
        let value = v[at];
        var along = vec4f();
        for (var q = 0u; q < VECTORS; q++) {
          along += s[q] * tile_a[t * VECTORS + q];
        }
        let sa = dot(along, vec4f(1.0));
        var sum = vec4f();
        for (var q = 0u; q < VECTORS; q++) {
          let i = t * VECTORS + q;
          let next = s[q] * tile_d[i] + sa * tile_b[i] + value * tile_k[i];
          sum += next * tile_r[i];
          s[q] = next;
        }
        out[at] = dot(sum, vec4f(1.0));
        if (params.keep == 1u) {
          out[params.sa + at] = sa;
        }
      }
    }
  }
  if (live) {
    for (var j = 0u; j < size; j++) {
      out[params.after + row + j] = s[j / 4u][j % 4u];
    }
  }
}
