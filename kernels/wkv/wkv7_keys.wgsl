// Gradients of wkv7.wgsl, second part: what belongs to key channels. With S the state after step t, S' the one before, G the
// gradient of S, and s = S' a, h = G b, as kept by wkv7.wgsl and wkv7_backward.wgsl:
//   dr = S^T dy   dk = G^T v   db = G^T s   da = S'^T h   dd[j] = sum_i G[i,j] S'[i,j]   dw = dd d (-e^w)
// All spans are independent, and so are the key channels: with s and h known, a column of S or G only fades by its own d
// and gains multiples of v and s, or of dy and h. So the matrices at the borders of a span are multiplied with those once,
// as a matrix product; what is left for a step of a key channel are sums over the steps of the span, with factors d <= 1
// and never a division by them.
// Shapes: as in wkv7.wgsl.
// Dispatch: a workgroup for KEYS key channels of a head and span: P B H ceil(N / KEYS).
// Source: as wkv7.wgsl; the chunked form is worked out from its equations.

const KEYS: u32 = 32u;      // key channels a workgroup, a multiple of 4
override LANES: u32 = 32u;  // KEYS: first four steps of four channels each, then a channel
const ROWS: u32 = 8u;       // value channels in workgroup memory
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,    // T
  heads: u32,    // H
  all: u32,      // B H
  size: u32,     // N
  sa: u32,       // where each of these begins in kept
  states: u32,
  borders: u32,  // where each of these begins in grads
  g: u32,
  h: u32,
  dr: u32,
  dw: u32,
  dk: u32,
  da: u32,
  db: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;            // (B, T, H, N)
@group(0) @binding(2) var<storage, read> w: array<f32>;            // (B, T, H, N)
@group(0) @binding(3) var<storage, read> k: array<f32>;            // (B, T, H, N)
@group(0) @binding(4) var<storage, read> v: array<f32>;            // (B, T, H, N)
@group(0) @binding(5) var<storage, read> a: array<f32>;            // (B, T, H, N)
@group(0) @binding(6) var<storage, read> b: array<f32>;            // (B, T, H, N)
@group(0) @binding(7) var<storage, read> kept: array<f32>;         // as out in wkv7.wgsl
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;  // G after spans (P, B, H, N, N); dy, h, dr, dw, dk, da, db (B, T, H, N); among others

// Four steps of a value channel, at channel * SPAN / 4 + step / 4.
var<workgroup> tile_g: array<vec4f, ROWS * SPAN / 4u>;
var<workgroup> tile_h: array<vec4f, ROWS * SPAN / 4u>;
var<workgroup> tile_v: array<vec4f, ROWS * SPAN / 4u>;
var<workgroup> tile_s: array<vec4f, ROWS * SPAN / 4u>;
// Products of a step t with four steps s, at t SPAN / 4 + s / 4: dy_t v_s, dy_t s_s, h_t v_s, h_t s_s.
var<workgroup> g_v: array<vec4f, SPAN * SPAN / 4u>;
var<workgroup> g_s: array<vec4f, SPAN * SPAN / 4u>;
var<workgroup> h_v: array<vec4f, SPAN * SPAN / 4u>;
var<workgroup> h_s: array<vec4f, SPAN * SPAN / 4u>;
// Products of a key channel with four steps, at channel SPAN / 4 + step / 4: of S before the span with dy and h, of G
// after it with v and s; and with each other, four channels.
var<workgroup> old_g: array<vec4f, SPAN * KEYS / 4u>;
var<workgroup> old_h: array<vec4f, SPAN * KEYS / 4u>;
var<workgroup> new_v: array<vec4f, SPAN * KEYS / 4u>;
var<workgroup> new_s: array<vec4f, SPAN * KEYS / 4u>;
var<workgroup> old_new: array<vec4f, KEYS / 4u>;

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
  let width = params.heads * size;
  let first = id / params.all * SPAN;
  let count = min(SPAN, max(params.steps, first) - first);
  let start = (id % params.all / params.heads * params.steps + first) * width + id % params.heads * size;

  let quad = lane % QUADS;
  let columns = id * size * size + min(vec4u(left + lane / QUADS * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(size - 1u));
  let old = params.states + columns;
  let fresh = params.borders + columns;
  var with_g = mat4x4f();
  var with_h = mat4x4f();
  var with_v = mat4x4f();
  var with_s = mat4x4f();
  var both = vec4f();
  for (var i = 0u; i < size; i += ROWS) {
    workgroupBarrier();
    for (var n = lane; n < ROWS * QUADS; n += LANES) {
      let c = i + n % ROWS;
      var gs = vec4f();
      var hs = vec4f();
      var vs = vec4f();
      var ss = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let t = n / ROWS * 4u + e;
        if (c < size && t < count) {
          let at = start + t * width + c;
          gs[e] = grads[params.g + at];
          hs[e] = grads[params.h + at];
          vs[e] = v[at];
          ss[e] = kept[params.sa + at];
        }
      }
      let to = n % ROWS * QUADS + n / ROWS;
      tile_g[to] = gs;
      tile_h[to] = hs;
      tile_v[to] = vs;
      tile_s[to] = ss;
    }
    workgroupBarrier();
    let rows = select(0u, min(ROWS, size - i), count > 0u);
    for (var n = 0u; n < rows; n++) {
      let from_old = old + (i + n) * size;
      let from_new = fresh + (i + n) * size;
      let s = vec4f(kept[from_old.x], kept[from_old.y], kept[from_old.z], kept[from_old.w]);
      let g = vec4f(grads[from_new.x], grads[from_new.y], grads[from_new.z], grads[from_new.w]);
      let at = n * QUADS + quad;
      with_g = wkv_outer(with_g, tile_g[at], s);
      with_h = wkv_outer(with_h, tile_h[at], s);
      with_v = wkv_outer(with_v, tile_v[at], g);
      with_s = wkv_outer(with_s, tile_s[at], g);
      both += s * g;
    }
    // Steps later against steps earlier; the first pair of loops over value channels finds no sums yet.
    for (var n = lane; n < QUADS * QUADS; n += LANES) {
      let later = n / QUADS;
      let earlier = n % QUADS;
      var gv = mat4x4f();
      var gs = mat4x4f();
      var hv = mat4x4f();
      var hs = mat4x4f();
      for (var c = 0u; c < rows && earlier <= later; c++) {
        let vs = tile_v[c * QUADS + earlier];
        let ss = tile_s[c * QUADS + earlier];
        let g = tile_g[c * QUADS + later];
        let h = tile_h[c * QUADS + later];
        gv = wkv_outer(gv, vs, g);
        gs = wkv_outer(gs, ss, g);
        hv = wkv_outer(hv, vs, h);
        hs = wkv_outer(hs, ss, h);
      }
      for (var e = 0u; e < 4u; e++) {
        let to = (later * 4u + e) * QUADS + earlier;
        g_v[to] = select(g_v[to], vec4f(), i == 0u) + gv[e];
        g_s[to] = select(g_s[to], vec4f(), i == 0u) + gs[e];
        h_v[to] = select(h_v[to], vec4f(), i == 0u) + hv[e];
        h_s[to] = select(h_s[to], vec4f(), i == 0u) + hs[e];
      }
    }
  }
  for (var c = 0u; c < 4u; c++) {
    let to = (lane / QUADS * 4u + c) * QUADS + quad;
    old_g[to] = with_g[c];
    old_h[to] = with_h[c];
    new_v[to] = with_v[c];
    new_s[to] = with_s[c];
  }
  if (quad == 0u) {
    old_new[lane / QUADS] = both;
  }
  workgroupBarrier();

  let j = left + lane;
  if (j < size && count > 0u) {
    var ds = array<vec4f, QUADS>();
    var ks = array<vec4f, QUADS>();
    var bs = array<vec4f, QUADS>();
    var of_vs = array<vec4f, QUADS>();
    var of_ss = array<vec4f, QUADS>();
    for (var q = 0u; q < QUADS; q++) {
      of_vs[q] = new_v[lane * QUADS + q];
      of_ss[q] = new_s[lane * QUADS + q];
      for (var e = 0u; e < 4u && q * 4u + e < count; e++) {
        let at = start + (q * 4u + e) * width + j;
        ds[q][e] = wkv_decay(w[at]);
        ks[q][e] = k[at];
        bs[q][e] = b[at];
      }
    }
    var s_of_g = old_new[lane / 4u][lane % 4u];
    for (var t = count; t > 0u; t--) {
      let now = t - 1u;
      let at = start + now * width + j;
      let q_now = now / 4u;
      let e_now = now % 4u;
      let rt = r[at];
      let at_now = a[at];
      let dt = ds[q_now][e_now];
      let own = now * QUADS + q_now;
      let beta_v = g_v[own][e_now];
      let beta_s = g_s[own][e_now];
      // G takes this step's dy up. S before the step is S before the span, brought through the steps between. Here both
      // are only met in their products with each other and with dy, h, v and s.
      var of_dy = old_g[lane * QUADS + q_now][e_now];
      var of_h = old_h[lane * QUADS + q_now][e_now];
      var of_g = s_of_g + rt * of_dy;
      s_of_g = dt * of_g + at_now * of_h;
      grads[params.dk + at] = of_vs[q_now][e_now] + rt * beta_v;
      grads[params.db + at] = of_ss[q_now][e_now] + rt * beta_s;
      for (var q = 0u; q * 4u < now; q++) {
        let between = vec4u(q * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(now);
        let k4 = select(vec4f(0.0), ks[q], between);
        let b4 = select(vec4f(0.0), bs[q], between);
        let d4 = select(vec4f(1.0), ds[q], between);
        let gv = g_v[now * QUADS + q];
        let gs = g_s[now * QUADS + q];
        let hv = h_v[now * QUADS + q];
        let hs = h_s[now * QUADS + q];
        let v4 = of_vs[q] + rt * gv;
        let s4 = of_ss[q] + rt * gs;
        of_g = wkv_through(of_g, d4, k4 * v4 + b4 * s4);
        of_dy = wkv_through(of_dy, d4, k4 * gv + b4 * gs);
        of_h = wkv_through(of_h, d4, k4 * hv + b4 * hs);
        of_vs[q] = dt * v4 + at_now * hv;
        of_ss[q] = dt * s4 + at_now * hs;
      }
      grads[params.dr + at] = dt * of_dy + ks[q_now][e_now] * beta_v + bs[q_now][e_now] * beta_s;
      grads[params.dw + at] = -exp(min(w[at], 80.0)) * dt * of_g;
      grads[params.da + at] = of_h;
    }
  }
}
