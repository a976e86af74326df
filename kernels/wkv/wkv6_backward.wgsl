// Gradients of wkv6.wgsl for the key channels. S is the state before a step, G the gradient of the state after it:
//   dr_t[i] = sum_j S[i,j] dy_t[j] + u[i] k_t[i] beta        dk_t[i] = sum_j G[i,j] v_t[j] + r_t[i] u[i] beta
//   dd_t[i] = sum_j G[i,j] S[i,j],  dw = dd d (-e^w)         du[i] += r_t[i] k_t[i] beta,  with beta = sum_j v_t[j] dy_t[j]
// wkv6.wgsl made dv, and G at the end of every span. So all spans are independent: inside one, both S and G are what
// stands at its border, faded, plus products of its own k, v and r, dy. `keys` multiplies those matrices with dy and v
// once, as a matrix product; what is left for a step of a key channel are sums over the steps of the span, with factors
// d <= 1 and never a division by them.
// Shapes: as in wkv6.wgsl. M = P B.
// Dispatch: `keys` a workgroup for KEYS key channels of a head and span: P B H ceil(N / KEYS); `collect` ceil(H N / KEYS),
// which adds u, and w if it is a parameter, up over batch and spans in a fixed order.
// Source: as wkv6.wgsl; the chunked form follows Yang et al. 2023, https://arxiv.org/abs/2312.06635.

const KEYS: u32 = 64u;          // key channels a workgroup, a multiple of 4
override LANES: u32 = 64u;      // KEYS: first four steps of four channels each, then a channel
const COLUMNS: u32 = 32u;       // value channels in workgroup memory
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
  states: u32,    // where the states begin in kept
  borders: u32,   // where each of these begins in grads
  dr: u32,
  dk: u32,
  dw: u32,
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
@group(0) @binding(7) var<storage, read> kept: array<f32>;         // as in wkv6.wgsl
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;  // dbefore (B, H, N, N); G after spans (P, B, H, N, N); dr, dk, dw (B, T, H, N); shares (2, M, H, N)
@group(0) @binding(9) var<storage, read> parts: array<f32>;        // grads (all of it)
@group(0) @binding(10) var<storage, read_write> du: array<f32>;    // (H, N)
@group(0) @binding(11) var<storage, read_write> dw: array<f32>;    // (H, N)

// Four steps of a value channel, at channel * SPAN / 4 + step / 4.
var<workgroup> tile_g: array<vec4f, COLUMNS * SPAN / 4u>;
var<workgroup> tile_v: array<vec4f, COLUMNS * SPAN / 4u>;
var<workgroup> cross: array<vec4f, SPAN * SPAN / 4u>;  // dy_t v_s, four s, at t SPAN / 4 + s / 4
var<workgroup> s_g: array<vec4f, SPAN * KEYS / 4u>;    // S dy_t, four t, at channel SPAN / 4 + t / 4
var<workgroup> g_v: array<vec4f, SPAN * KEYS / 4u>;    // G v_t
var<workgroup> s_s: array<vec4f, KEYS / 4u>;           // S G, four channels

// e^(-e^x): how much of the state a step leaves.
fn wkv_decay(x: f32) -> f32 {
  return exp(min(-exp(min(x, 80.0)), 0.0));
}

// m, whose columns are channels, plus steps^T channels.
fn wkv_outer(m: mat4x4f, steps: vec4f, channels: vec4f) -> mat4x4f {
  return mat4x4f(m[0] + steps * channels.x, m[1] + steps * channels.y, m[2] + steps * channels.z, m[3] + steps * channels.w);
}

// x after four steps that each fade and add.
fn wkv_through(x: f32, d: vec4f, gain: vec4f) -> f32 {
  return (((x * d.x + gain.x) * d.y + gain.y) * d.z + gain.z) * d.w + gain.w;
}

@compute @workgroup_size(LANES)
fn keys(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  const QUADS = SPAN / 4u;
  let size = params.size;
  let stretches = (size + KEYS - 1u) / KEYS;
  let id = (group.x + group.y * groups.x) / stretches;
  let left = (group.x + group.y * groups.x) % stretches * KEYS;
  let span = id / params.all;
  let b = id % params.all / params.heads;
  let channel = id % params.heads * size;
  let width = params.heads * size;
  let first = span * SPAN;
  let count = min(SPAN, max(params.steps, first) - first);
  let start = (b * params.steps + first) * width + channel;

  let quad = lane % QUADS;
  let rows = id * size * size + min(vec4u(left + lane / QUADS * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(size - 1u)) * size;
  let old = params.states + rows;
  let fresh = params.borders + rows;
  var with_g = mat4x4f();
  var with_v = mat4x4f();
  var both = vec4f();
  for (var i = lane; i < QUADS * QUADS; i += LANES) {
    for (var e = 0u; e < 4u; e++) {
      cross[(i / QUADS * 4u + e) * QUADS + i % QUADS] = vec4f();
    }
  }
  for (var j = 0u; j < size; j += COLUMNS) {
    workgroupBarrier();
    for (var i = lane; i < COLUMNS * QUADS; i += LANES) {
      let c = j + i % COLUMNS;
      var gs = vec4f();
      var vs = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let t = i / COLUMNS * 4u + e;
        if (c < size && t < count) {
          gs[e] = dy[start + t * width + c];
          vs[e] = v[start + t * width + c];
        }
      }
      tile_g[i % COLUMNS * QUADS + i / COLUMNS] = gs;
      tile_v[i % COLUMNS * QUADS + i / COLUMNS] = vs;
    }
    workgroupBarrier();
    let columns = select(0u, min(COLUMNS, size - j), count > 0u);
    for (var i = 0u; i < columns; i++) {
      let c = j + i;
      let s = vec4f(kept[old.x + c], kept[old.y + c], kept[old.z + c], kept[old.w + c]);
      let g = vec4f(grads[fresh.x + c], grads[fresh.y + c], grads[fresh.z + c], grads[fresh.w + c]);
      with_g = wkv_outer(with_g, tile_g[i * QUADS + quad], s);
      with_v = wkv_outer(with_v, tile_v[i * QUADS + quad], g);
      both += s * g;
    }
    for (var i = lane; i < QUADS * QUADS; i += LANES) {
      let later = i / QUADS;
      let earlier = i % QUADS;
      var sums = mat4x4f();
      for (var c = 0u; c < columns && earlier <= later; c++) {
        sums = wkv_outer(sums, tile_v[c * QUADS + earlier], tile_g[c * QUADS + later]);
      }
      for (var e = 0u; e < 4u; e++) {
        cross[(later * 4u + e) * QUADS + earlier] += sums[e];
      }
    }
  }
  for (var c = 0u; c < 4u; c++) {
    let at = (lane / QUADS * 4u + c) * QUADS + quad;
    s_g[at] = with_g[c];
    g_v[at] = with_v[c];
  }
  if (quad == 0u) {
    s_s[lane / QUADS] = both;
  }
  workgroupBarrier();

  let i = left + lane;
  if (i < size && count > 0u) {
    let w_at = b * params.w_sample + first * params.w_step + channel + i;
    var ks = array<vec4f, QUADS>();
    var ds = array<vec4f, QUADS>();
    var of_vs = array<vec4f, QUADS>();
    for (var q = 0u; q < QUADS; q++) {
      of_vs[q] = g_v[lane * QUADS + q];
      for (var e = 0u; e < 4u && q * 4u + e < count; e++) {
        ks[q][e] = k[start + (q * 4u + e) * width + i];
        ds[q][e] = wkv_decay(w[w_at + (q * 4u + e) * params.w_step]);
      }
    }
    let bonus = u[channel + i];
    var s_of_g = s_s[lane / 4u][lane % 4u];
    var share_u = 0.0;
    var share_w = 0.0;
    for (var t = count; t > 0u; t--) {
      let now = t - 1u;
      let at = start + now * width + i;
      let rt = r[at];
      let kt = ks[now / 4u][now % 4u];
      let dt = ds[now / 4u][now % 4u];
      let beta = cross[now * QUADS + now / 4u][now % 4u];
      grads[params.dk + at] = of_vs[now / 4u][now % 4u] + bonus * rt * beta;
      // S before the step is S before the span, brought through the steps between: here in its products with G and dy.
      var of_g = s_of_g;
      var of_dy = s_g[lane * QUADS + now / 4u][now % 4u];
      s_of_g = dt * of_g + rt * of_dy;
      for (var q = 0u; q * 4u < now; q++) {
        let between = vec4u(q * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(now);
        let k4 = select(vec4f(0.0), ks[q], between);
        let d4 = select(vec4f(1.0), ds[q], between);
        let c4 = cross[now * QUADS + q];
        let v4 = of_vs[q];
        of_g = wkv_through(of_g, d4, k4 * v4);
        of_dy = wkv_through(of_dy, d4, k4 * c4);
        of_vs[q] = dt * v4 + rt * c4;
      }
      let slope = -exp(min(w[w_at + now * params.w_step], 80.0)) * dt * of_g;
      grads[params.dr + at] = of_dy + bonus * kt * beta;
      if (!SHARED) {
        grads[params.dw + at] = slope;
      }
      share_u += rt * kt * beta;
      share_w += slope;
    }
    let share = params.shares + (span * (params.all / params.heads) + b) * width + channel + i;
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
