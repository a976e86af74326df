// Gradients of wkv7.wgsl, first part: what runs back along the sequence. With G the gradient of S after step t, that of y_t
// included, G = (what the steps after left) + dy_t r_t^T:
//   dv_t = G k_t,  h_t = G b_t,  and before the step G diag(d_t) + h_t a_t^T
// G before the first step is the gradient of the state there. For wkv7_keys.wgsl, h is kept, dy is copied, since that kernel
// has no binding to spare, and G is kept as it is after each span, without the dy r^T of its last step.
// Registers and workgroup memory hold the same as in wkv7.wgsl, G for S, the parts of h for those of S a, and dv for y.
// Shapes: as in wkv7.wgsl.
// Dispatch: ceil(B H / HEADS) workgroups of HEADS heads.
// Source: as wkv7.wgsl; the gradients are worked out from its equations.

override HEADS: u32 = 1u;   // heads a workgroup
override LANES: u32 = 64u;  // invocations: HEADS * BLOCKS * QUADS
const QUADS: u32 = 16u;     // quads of value channels: N / 4 rounded up
const BLOCKS: u32 = 4u;     // invocations that share the keys of a head: QUADS / DEPTH rounded up
const DEPTH: u32 = 4u;      // quads of key channels an invocation, 1, 2 or 4
const STEPS: u32 = 4u;      // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  size: u32,      // N
  upstream: u32,  // 1 if the last state has a gradient
  dv: u32,        // where each of these begins in grads
  g: u32,
  h: u32,
  dbefore: u32,
  borders: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> r: array<f32>;            // (B, T, H, N)
@group(0) @binding(2) var<storage, read> w: array<f32>;            // (B, T, H, N)
@group(0) @binding(3) var<storage, read> k: array<f32>;            // (B, T, H, N)
@group(0) @binding(4) var<storage, read> a: array<f32>;            // (B, T, H, N)
@group(0) @binding(5) var<storage, read> b: array<f32>;            // (B, T, H, N)
@group(0) @binding(6) var<storage, read> dy: array<f32>;           // (B, T, H, N)
@group(0) @binding(7) var<storage, read> dafter: array<f32>;       // (B, H, N, N)
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;  // dv, dy, h (B, T, H, N); dbefore (B, H, N, N); G after spans (P, B, H, N, N); among others

// Steps of a head side by side, quads of its channels.
var<workgroup> tile_r: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_d: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_k: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_a: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_b: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
// Where BLOCKS > 1: parts of h, two steps taking turns, then of dv.
var<workgroup> partial: array<vec4f, (STEPS + 2u) * LANES * ((BLOCKS + 6u) / 8u) + 1u>;

// e^(-e^x): how much of the state a step leaves.
fn wkv_decay(x: f32) -> f32 {
  return exp(min(-exp(min(x, 80.0)), 0.0));
}

// Where the channels of a head begin at step 0.
fn wkv7_start(head: u32) -> u32 {
  return (head / params.heads * params.steps * params.heads + head % params.heads) * params.size;
}

// Brings `count` steps from `first` on to workgroup memory; channels beyond N, and heads beyond B H, are 0.
fn wkv7_fill(group: u32, first: u32, count: u32, lane: u32) {
  const VECTORS = BLOCKS * DEPTH;
  workgroupBarrier();
  for (var i = lane; i < HEADS * count * VECTORS; i += LANES) {
    let slot = i / (count * VECTORS);
    let step = i / VECTORS % count;
    let at = wkv7_start(group * HEADS + slot) + (first + step) * params.heads * params.size;
    var rs = vec4f();
    var ds = vec4f();
    var ks = vec4f();
    var av = vec4f();
    var bs = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let c = i % VECTORS * 4u + e;
      if (c < params.size && group * HEADS + slot < params.all) {
        rs[e] = r[at + c];
        ds[e] = wkv_decay(w[at + c]);
        ks[e] = k[at + c];
        av[e] = a[at + c];
        bs[e] = b[at + c];
      }
    }
    let to = (slot * STEPS + step) * VECTORS + i % VECTORS;
    tile_r[to] = rs;
    tile_d[to] = ds;
    tile_k[to] = ks;
    tile_a[to] = av;
    tile_b[to] = bs;
  }
  workgroupBarrier();
}

// G with the step's dy r^T, of the key channels at i of the tiles.
fn wkv7_gain(g: mat4x4f, i: u32, slope: vec4f) -> mat4x4f {
  let r4 = tile_r[i];
  return mat4x4f(g[0] + slope * r4.x, g[1] + slope * r4.y, g[2] + slope * r4.z, g[3] + slope * r4.w);
}

// G before the step: G diag(d) + h a^T.
fn wkv7_retreat(g: mat4x4f, i: u32, h: vec4f) -> mat4x4f {
  let d = tile_d[i];
  let a4 = tile_a[i];
  return mat4x4f(g[0] * d.x + h * a4.x, g[1] * d.y + h * a4.y, g[2] * d.z + h * a4.z, g[3] * d.w + h * a4.w);
}

// Where a quad of value channels meets a quad of key channels in a state matrix.
struct Corner {
  matrix: u32,
  i: u32,
  j: u32,
  live: bool,
}

fn wkv7_load_gradient(at: Corner) -> mat4x4f {
  var g = mat4x4f();
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + e < params.size && at.j + c < params.size) {
        g[c][e] = dafter[at.matrix + (at.i + e) * params.size + at.j + c];
      }
    }
  }
  return g;
}

fn wkv7_store_gradient(base: u32, at: Corner, g: mat4x4f) {
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + e < params.size && at.j + c < params.size) {
        grads[base + at.matrix + (at.i + e) * params.size + at.j + c] = g[c][e];
      }
    }
  }
}

// Four value channels of a step.
fn wkv7_hand(at: u32, i: u32, value: vec4f) {
  for (var e = 0u; e < 4u; e++) {
    if (i + e < params.size) {
      grads[at + e] = value[e];
    }
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  const VECTORS = BLOCKS * DEPTH;
  let place = group.x + group.y * groups.x;
  let slot = lane / (BLOCKS * QUADS);
  let part = lane / QUADS % BLOCKS;
  let head = place * HEADS + slot;
  let size = params.size;
  let width = params.heads * size;
  let start = wkv7_start(head) + lane % QUADS * 4u;
  let at = Corner(head * size * size, lane % QUADS * 4u, part * DEPTH * 4u, head < params.all);
  let mates = slot * BLOCKS * QUADS + lane % QUADS;
  var g0 = mat4x4f();
  var g1 = mat4x4f();
  var g2 = mat4x4f();
  var g3 = mat4x4f();
  if (params.upstream == 1u) {
    // Loops over few quads, here and below, because a copy of the code for each would take seconds to compile.
    var corners = array<mat4x4f, 4>();
    for (var depth = 0u; depth < DEPTH; depth++) {
      corners[depth] = wkv7_load_gradient(Corner(at.matrix, at.i, at.j + 4u * depth, at.live));
    }
    g0 = corners[0];
    g1 = corners[1];
    g2 = corners[2];
    g3 = corners[3];
  }
  // Once more before the first step, to store the gradient there.
  let tiles = (params.steps + STEPS - 1u) / STEPS;
  for (var tile = 0u; tile <= tiles; tile++) {
    let end = min((tiles - tile) * STEPS, params.steps);
    if (tile == tiles || end == params.steps || end % SPAN == 0u) {
      let border = params.borders + (max(end, 1u) - 1u) / SPAN * params.all * size * size;
      let base = select(border, params.dbefore, tile == tiles);
      let corners = array<mat4x4f, 4>(g0, g1, g2, g3);
      for (var depth = 0u; depth < DEPTH; depth++) {
        wkv7_store_gradient(base, Corner(at.matrix, at.i, at.j + 4u * depth, at.live), corners[depth]);
      }
    }
    let first = (max(end, 1u) - 1u) / STEPS * STEPS;
    let count = end - first;
    wkv7_fill(place, first, count, lane);
    for (var t = count; t > 0u; t--) {
      let step = start + (first + t - 1u) * width;
      var slope = vec4f();
      for (var e = 0u; e < 4u; e++) {
        slope[e] = dy[step + e];
      }
      let i = (slot * STEPS + t - 1u) * VECTORS + part * DEPTH;
      g0 = wkv7_gain(g0, i, slope);
      var sum = g0 * tile_k[i];
      var h = g0 * tile_b[i];
      if (DEPTH > 1u) {
        g1 = wkv7_gain(g1, i + 1u, slope);
        sum += g1 * tile_k[i + 1u];
        h += g1 * tile_b[i + 1u];
      }
      if (DEPTH > 2u) {
        g2 = wkv7_gain(g2, i + 2u, slope);
        g3 = wkv7_gain(g3, i + 3u, slope);
        sum += g2 * tile_k[i + 2u] + g3 * tile_k[i + 3u];
        h += g2 * tile_b[i + 2u] + g3 * tile_b[i + 3u];
      }
      if (BLOCKS > 1u) {
        let turn = t % 2u * LANES;
        partial[turn + lane] = h;
        partial[(1u + t) * LANES + lane] = sum;
        workgroupBarrier();
        h = vec4f();
        for (var other = 0u; other < BLOCKS; other++) {
          h += partial[turn + mates + other * QUADS];
        }
      } else if (at.live) {
        wkv7_hand(params.dv + step, at.i, sum);
      }
      if (part == 0u && at.live) {
        wkv7_hand(params.g + step, at.i, slope);
        wkv7_hand(params.h + step, at.i, h);
      }
      g0 = wkv7_retreat(g0, i, h);
      if (DEPTH > 1u) {
        g1 = wkv7_retreat(g1, i + 1u, h);
      }
      if (DEPTH > 2u) {
        g2 = wkv7_retreat(g2, i + 2u, h);
        g3 = wkv7_retreat(g3, i + 3u, h);
      }
    }
    if (BLOCKS > 1u) {
      workgroupBarrier();
      for (var t = part; t < count && at.live; t += BLOCKS) {
        var sum = vec4f();
        for (var other = 0u; other < BLOCKS; other++) {
          sum += partial[(2u + t) * LANES + mates + other * QUADS];
        }
        wkv7_hand(params.dv + start + (first + t) * width, at.i, sum);
      }
    }
  }
}
