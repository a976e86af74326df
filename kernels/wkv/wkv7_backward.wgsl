// Gradients of wkv7.wgsl. With G the gradient of S after step t, that of y_t included, and s = S_(t-1) a, h = G b:
//   dv = G k   dk = G^T v   dr = S_t^T dy   db = G^T s   da = S_(t-1)^T h   dd[j] = sum_i G[i,j] S_(t-1)[i,j]
//   dw = dd d (-e^w)        before the step: G diag(d) + h a^T, and then the dy r^T of the step before
// `values` runs G back, a row an invocation: it makes dv and h, and stores G at the end of each span. Then all spans are
// independent, and so are the key channels: with s and h known, a column of S or G only fades by its own d and gains
// multiples of v and s, or of dy and h. So `keys` needs the matrices at the borders of a span only in products with those,
// once; what is left for a step are sums over the steps of the span, with factors d <= 1 and never a division by them.
// Shapes: as in wkv7.wgsl.
// Dispatch: `values` a workgroup a head: B H; then `keys` a workgroup a head and span: P B H.
// Source: as wkv7.wgsl; the chunked form is worked out from its equations.

override LANES: u32 = 64u;  // invocations: a channel each, N or more
const VECTORS: u32 = 16u;   // vectors of four in a head, N / 4 rounded up
const COLUMNS: u32 = 8u;    // vectors of v, s, dy and h in workgroup memory, VECTORS or less
const STEPS: u32 = 8u;      // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  size: u32,      // N
  upstream: u32,  // 1 if the last state has a gradient
  sa: u32,        // where each of these begins in kept
  states: u32,
  dr: u32,        // where each of these begins in grads
  dw: u32,
  dk: u32,
  dv: u32,
  da: u32,
  db: u32,
  dbefore: u32,
  borders: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;            // (B, T, H, N)
@group(0) @binding(2) var<storage, read> w: array<f32>;            // (B, T, H, N)
@group(0) @binding(3) var<storage, read> k: array<f32>;            // (B, T, H, N)
@group(0) @binding(4) var<storage, read> v: array<f32>;            // (B, T, H, N)
@group(0) @binding(5) var<storage, read> a: array<f32>;            // (B, T, H, N)
@group(0) @binding(6) var<storage, read> b: array<f32>;            // (B, T, H, N)
@group(0) @binding(7) var<storage, read> dy: array<f32>;           // (B, T, H, N)
@group(0) @binding(8) var<storage, read> dafter: array<f32>;       // (B, H, N, N)
@group(0) @binding(9) var<storage, read> kept: array<f32>;         // as out in wkv7.wgsl
// dr, dw, dk, dv, da, db (B, T, H, N); dbefore (B, H, N, N); G after spans (P, B, H, N, N). From `values` to `keys`, which
// has no binding left for them, dy is where dr will be and h where da will be.
@group(0) @binding(10) var<storage, read_write> grads: array<f32>;  // (all of these)

var<workgroup> tile_r: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_d: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_k: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_a: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_b: array<vec4f, STEPS * VECTORS>;
var<workgroup> tile_v: array<vec4f, SPAN * COLUMNS>;
var<workgroup> tile_s: array<vec4f, SPAN * COLUMNS>;
var<workgroup> tile_g: array<vec4f, SPAN * COLUMNS>;
var<workgroup> tile_h: array<vec4f, SPAN * COLUMNS>;
var<workgroup> cross: array<vec4f, SPAN * SPAN>;  // dy_t v_s, dy_t s_s, h_t v_s, h_t s_s, at t SPAN + s

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
fn values(
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
  var g = array<vec4f, VECTORS>();
  if (live && params.upstream == 1u) {
    for (var j = 0u; j < size; j++) {
      g[j / 4u][j % 4u] = dafter[row + j];
    }
  }
  for (var end = steps; end > 0u; end = (end - 1u) / STEPS * STEPS) {
    if (live && (end == steps || end % SPAN == 0u)) {
      let at = params.borders + (end - 1u) / SPAN * params.all * size * size + row;
      for (var j = 0u; j < size; j++) {
        grads[at + j] = g[j / 4u][j % 4u];
      }
    }
    let first = (end - 1u) / STEPS * STEPS;
    wkv7_fill(head, first, end - first, lane);
    if (live) {
      for (var t = end - first; t > 0u; t--) {
        let at = start + (first + t - 1u) * params.heads * size;
        let slope = dy[at];
        var along_k = vec4f();
        var along_b = vec4f();
        for (var q = 0u; q < VECTORS; q++) {
          let i = (t - 1u) * VECTORS + q;
          let whole = g[q] + slope * tile_r[i];
          along_k += whole * tile_k[i];
          along_b += whole * tile_b[i];
          g[q] = whole;
        }
        let h = dot(along_b, vec4f(1.0));
        for (var q = 0u; q < VECTORS; q++) {
          let i = (t - 1u) * VECTORS + q;
          g[q] = g[q] * tile_d[i] + h * tile_a[i];
        }
        grads[params.dv + at] = dot(along_k, vec4f(1.0));
        grads[params.dr + at] = slope;
        grads[params.da + at] = h;
      }
    }
  }
  if (live) {
    for (var j = 0u; j < size; j++) {
      grads[params.dbefore + row + j] = g[j / 4u][j % 4u];
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
  let size = params.size;
  let first = id / params.all * SPAN;
  let count = min(SPAN, max(params.steps, first) - first);
  let width = params.heads * size;
  let start = wkv7_start(id % params.all) + first * width;
  let column = id * size * size + min(lane, size - 1u);

  // Products of the columns of S before the span and G after it: with each other, S with dy and h, and G with v and s.
  var both = 0.0;
  var s_gh = array<vec2f, SPAN>();
  var g_vs = array<vec2f, SPAN>();
  for (var i = lane; i < SPAN * SPAN; i += LANES) {
    cross[i] = vec4f();
  }
  for (var left = 0u; left < VECTORS; left += COLUMNS) {
    workgroupBarrier();
    for (var i = lane; i < SPAN * COLUMNS; i += LANES) {
      var vs = vec4f();
      var ss = vec4f();
      var gs = vec4f();
      var hs = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let c = (left + i % COLUMNS) * 4u + e;
        if (c < size && i / COLUMNS < count) {
          let at = start + i / COLUMNS * width + c;
          vs[e] = v[at];
          ss[e] = kept[params.sa + at];
          gs[e] = grads[params.dr + at];
          hs[e] = grads[params.da + at];
        }
      }
      tile_v[i] = vs;
      tile_s[i] = ss;
      tile_g[i] = gs;
      tile_h[i] = hs;
    }
    var old = array<vec4f, COLUMNS>();
    var fresh = array<vec4f, COLUMNS>();
    for (var q = 0u; q < COLUMNS; q++) {
      for (var e = 0u; e < 4u; e++) {
        let c = (left + q) * 4u + e;
        if (c < size && count > 0u) {
          old[q][e] = kept[params.states + column + c * size];
          fresh[q][e] = grads[params.borders + column + c * size];
        }
      }
      both += dot(old[q], fresh[q]);
    }
    workgroupBarrier();
    for (var i = lane; i < SPAN * SPAN; i += LANES) {
      var sum = vec4f();
      for (var q = 0u; q < COLUMNS; q++) {
        let t = i / SPAN * COLUMNS + q;
        let s = i % SPAN * COLUMNS + q;
        sum += vec4f(dot(tile_g[t], tile_v[s]), dot(tile_g[t], tile_s[s]), dot(tile_h[t], tile_v[s]), dot(tile_h[t], tile_s[s]));
      }
      cross[i] += sum;
    }
    for (var t = 0u; t < count; t++) {
      var s_sum = vec2f();
      var g_sum = vec2f();
      for (var q = 0u; q < COLUMNS; q++) {
        let i = t * COLUMNS + q;
        s_sum += vec2f(dot(old[q], tile_g[i]), dot(old[q], tile_h[i]));
        g_sum += vec2f(dot(fresh[q], tile_v[i]), dot(fresh[q], tile_s[i]));
      }
      s_gh[t] += s_sum;
      g_vs[t] += g_sum;
    }
  }
  workgroupBarrier();

  if (lane < size) {
    var ds = array<f32, SPAN>();
    var kb = array<vec2f, SPAN>();
    for (var t = 0u; t < count; t++) {
      let at = start + t * width + lane;
      ds[t] = wkv_decay(w[at]);
      kb[t] = vec2f(k[at], b[at]);
    }
    for (var t = count; t > 0u; t--) {
      let now = t - 1u;
      let at = start + now * width + lane;
      let d = ds[now];
      let rt = r[at];
      let ag = a[at];
      let own = cross[now * SPAN + now];
      // G takes this step's dy up; S before the step is S before the span, brought through the steps between: here both
      // only in their products with each other and with dy, h, v and s.
      both += rt * s_gh[now].x;
      var with_g = both;
      var with_gh = s_gh[now];
      for (var s = 0u; s < now; s++) {
        let c = cross[now * SPAN + s];
        let gained = g_vs[s] + rt * c.xy;
        with_g = ds[s] * with_g + dot(kb[s], gained);
        with_gh = ds[s] * with_gh + vec2f(dot(kb[s], c.xy), dot(kb[s], c.zw));
        g_vs[s] = d * gained + ag * c.zw;
      }
      let with_vs = g_vs[now] + rt * own.xy;
      both = d * both + ag * s_gh[now].y;
      grads[params.dr + at] = d * with_gh.x + dot(kb[now], own.xy);
      grads[params.dw + at] = -exp(min(w[at], 80.0)) * d * with_g;
      grads[params.dk + at] = with_vs.x;
      grads[params.da + at] = with_gh.y;
      grads[params.db + at] = with_vs.y;
    }
  }
}
