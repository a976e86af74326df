// Gradients of wkv6.wgsl. G_t is the gradient of the state after step t, and goes back by G_(t-1) = d_t G_t + r_t dy_t^T:
//   dv_t[j] = sum_i G_t[i,j] k_t[i] + (sum_i r u k) dy_t[j]        dr_t[i] = sum_j S_(t-1)[i,j] dy_t[j] + u[i] k_t[i] beta
//   dk_t[i] = sum_j G_t[i,j] v_t[j] + r_t[i] u[i] beta             dd_t[i] = sum_j G_t[i,j] S_(t-1)[i,j]
//   du[i] += r_t[i] k_t[i] beta                                    dw = dd d (-e^w),  with beta = sum_j v_t[j] dy_t[j]
// `values` runs G back, a column an invocation, makes dv and stores G at the end of each span. Then all spans are
// independent: inside one, both S and G are what stands at its border, faded, plus products of its own k, v and r, dy. So
// `keys` needs those matrices only in products with v and dy, once; what is left for a step of a key channel are sums over
// the steps of the span, with factors d <= 1 and never a division by them.
// Shapes: as in wkv6.wgsl. M = P B.
// Dispatch: `values` a workgroup a head: B H; `keys` a workgroup a head and span: P B H; `collect` ceil(H N / LANES), which
// adds u, and w if it is a parameter, up over batch and spans in a fixed order.
// Source: as wkv6.wgsl; the chunked form follows Yang et al. 2023, https://arxiv.org/abs/2312.06635.

override LANES: u32 = 64u;      // invocations: a channel each, N or more
const VECTORS: u32 = 16u;       // vectors of four in a head, N / 4 rounded up
const COLUMNS: u32 = 16u;       // vectors of v and dy in workgroup memory, VECTORS or less
const STEPS: u32 = 16u;         // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;          // steps from a kept state to the next
override SHARED: bool = false;  // w is a parameter
override ADD_U: bool = false;   // du += instead of =
override ADD_W: bool = false;

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  size: u32,      // N
  w_sample: u32,  // values from a batch entry's w to the next's, and from a step's: 0 if all have the same
  w_step: u32,
  upstream: u32,  // 1 if the last state has a gradient
  states: u32,    // where the states begin in kept
  dr: u32,        // where each of these begins in grads
  dk: u32,
  dv: u32,
  dw: u32,
  dbefore: u32,
  borders: u32,
  shares: u32,
  count: u32,     // M
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;            // (B, T, H, N)
@group(0) @binding(2) var<storage, read> k: array<f32>;            // (B, T, H, N)
@group(0) @binding(3) var<storage, read> v: array<f32>;            // (B, T, H, N)
@group(0) @binding(4) var<storage, read> w: array<f32>;            // (B, T, H, N) or (H, N)
@group(0) @binding(5) var<storage, read> u: array<f32>;            // (H, N)
@group(0) @binding(6) var<storage, read> dy: array<f32>;           // (B, T, H, N)
@group(0) @binding(7) var<storage, read> dafter: array<f32>;       // (B, H, N, N)
@group(0) @binding(8) var<storage, read> kept: array<f32>;         // as in wkv6.wgsl
@group(0) @binding(9) var<storage, read_write> grads: array<f32>;  // dr, dk, dv, dw (B, T, H, N); dbefore (B, H, N, N); G after spans (P, B, H, N, N); shares (2, M, H, N)
@group(0) @binding(10) var<storage, read> parts: array<f32>;       // grads (all of it)
@group(0) @binding(11) var<storage, read_write> du: array<f32>;    // (H, N)
@group(0) @binding(12) var<storage, read_write> dw: array<f32>;    // (H, N)

var<workgroup> tile_r: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_k: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_d: array<vec4f, STEPS * VECTORS>;
var<workgroup> bonus: array<f32, STEPS>;  // sum over i of r u k
var<workgroup> tile_v: array<vec4f, SPAN * COLUMNS>;
var<workgroup> tile_g: array<vec4f, SPAN * COLUMNS>;
var<workgroup> cross: array<f32, SPAN * SPAN>;  // dy_t v_s, at t SPAN + s

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
fn values(
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
  var g = array<vec4f, VECTORS>();
  if (live && params.upstream == 1u) {
    for (var i = 0u; i < size; i++) {
      g[i / 4u][i % 4u] = dafter[matrix + i * size];
    }
  }
  for (var end = steps; end > 0u; end = (end - 1u) / STEPS * STEPS) {
    if (live && (end == steps || end % SPAN == 0u)) {
      let at = params.borders + (end - 1u) / SPAN * params.all * size * size + matrix;
      for (var i = 0u; i < size; i++) {
        grads[at + i * size] = g[i / 4u][i % 4u];
      }
    }
    let first = (end - 1u) / STEPS * STEPS;
    wkv6_fill(head, first, end - first, lane);
    if (live) {
      for (var t = end - first; t > 0u; t--) {
        let at = start + (first + t - 1u) * width;
        let slope = dy[at];
        var sum = vec4f();
        for (var q = 0u; q < VECTORS; q++) {
          let i = (t - 1u) * VECTORS + q;
          sum += tile_k[i] * g[q];
          g[q] = tile_d[i] * g[q] + tile_r[i] * slope;
        }
        grads[params.dv + at] = dot(sum, vec4f(1.0)) + bonus[t - 1u] * slope;
      }
    }
  }
  if (live) {
    for (var i = 0u; i < size; i++) {
      grads[params.dbefore + matrix + i * size] = g[i / 4u][i % 4u];
    }
  }
}

@compute @workgroup_size(LANES)
fn keys(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = group.x + group.y * groups.x;
  let span = id / params.all;
  let head = id % params.all;
  let size = params.size;
  let first = span * SPAN;
  let count = min(SPAN, max(params.steps, first) - first);
  let width = params.heads * size;
  let b = head / params.heads;
  let channel = head % params.heads * size;
  let start = (b * params.steps + first) * width + channel;
  let row = (id * size + min(lane, size - 1u)) * size;

  // Products of the rows of S before the span and G after it: with each other, S with dy, and G with v.
  var both = 0.0;
  var s_g = array<f32, SPAN>();
  var g_v = array<f32, SPAN>();
  for (var i = lane; i < SPAN * SPAN; i += LANES) {
    cross[i] = 0.0;
  }
  for (var left = 0u; left < VECTORS; left += COLUMNS) {
    workgroupBarrier();
    for (var i = lane; i < SPAN * COLUMNS; i += LANES) {
      var vs = vec4f();
      var gs = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let c = (left + i % COLUMNS) * 4u + e;
        if (c < size && i / COLUMNS < count) {
          vs[e] = v[start + i / COLUMNS * width + c];
          gs[e] = dy[start + i / COLUMNS * width + c];
        }
      }
      tile_v[i] = vs;
      tile_g[i] = gs;
    }
    var ss = array<vec4f, COLUMNS>();
    var gs = array<vec4f, COLUMNS>();
    for (var q = 0u; q < COLUMNS; q++) {
      for (var e = 0u; e < 4u; e++) {
        let c = (left + q) * 4u + e;
        if (c < size && count > 0u) {
          ss[q][e] = kept[params.states + row + c];
          gs[q][e] = grads[params.borders + row + c];
        }
      }
      both += dot(ss[q], gs[q]);
    }
    workgroupBarrier();
    for (var i = lane; i < SPAN * SPAN; i += LANES) {
      var sum = 0.0;
      for (var q = 0u; q < COLUMNS; q++) {
        sum += dot(tile_g[i / SPAN * COLUMNS + q], tile_v[i % SPAN * COLUMNS + q]);
      }
      cross[i] += sum;
    }
    for (var t = 0u; t < count; t++) {
      var s_sum = 0.0;
      var g_sum = 0.0;
      for (var q = 0u; q < COLUMNS; q++) {
        s_sum += dot(ss[q], tile_g[t * COLUMNS + q]);
        g_sum += dot(gs[q], tile_v[t * COLUMNS + q]);
      }
      s_g[t] += s_sum;
      g_v[t] += g_sum;
    }
  }
  workgroupBarrier();

  if (lane < size && count > 0u) {
    var rs = array<f32, SPAN>();
    var ks = array<f32, SPAN>();
    var ds = array<f32, SPAN>();
    let w_at = b * params.w_sample + first * params.w_step + channel + lane;
    for (var t = 0u; t < count; t++) {
      rs[t] = r[start + t * width + lane];
      ks[t] = k[start + t * width + lane];
      ds[t] = wkv_decay(w[w_at + t * params.w_step]);
    }
    let bonus_of = u[channel + lane];
    var share_u = 0.0;
    var share_w = 0.0;
    for (var t = count; t > 0u; t--) {
      let now = t - 1u;
      let d = ds[now];
      let beta = cross[now * SPAN + now];
      // S before the step is S before the span, brought through the steps between: here in its products with G and dy.
      var with_g = both;
      var with_dy = s_g[now];
      for (var s = 0u; s < now; s++) {
        with_g = ds[s] * with_g + ks[s] * g_v[s];
        with_dy = ds[s] * with_dy + ks[s] * cross[now * SPAN + s];
        g_v[s] = d * g_v[s] + rs[now] * cross[now * SPAN + s];
      }
      both = d * both + rs[now] * s_g[now];
      let at = start + now * width + lane;
      let slope = -exp(min(w[w_at + now * params.w_step], 80.0)) * d * with_g;
      grads[params.dr + at] = with_dy + bonus_of * ks[now] * beta;
      grads[params.dk + at] = g_v[now] + bonus_of * rs[now] * beta;
      if (!SHARED) {
        grads[params.dw + at] = slope;
      }
      share_u += rs[now] * ks[now] * beta;
      share_w += slope;
    }
    let share = params.shares + (span * (params.all / params.heads) + b) * width + channel + lane;
    grads[share] = share_u;
    grads[share + params.count * width] = share_w;
  }
}

@compute @workgroup_size(LANES)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let c = (group.x + group.y * groups.x) * LANES + lane;
  let width = params.heads * params.size;
  if (c < width) {
    var sum_u = 0.0;
    var sum_w = 0.0;
    for (var m = 0u; m < params.count; m++) {
      sum_u += parts[params.shares + m * width + c];
      sum_w += parts[params.shares + (params.count + m) * width + c];
    }
    if (ADD_U) {
      sum_u += du[c];
    }
    du[c] = sum_u;
    if (SHARED) {
      if (ADD_W) {
        sum_w += dw[c];
      }
      dw[c] = sum_w;
    }
  }
}
