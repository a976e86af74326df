// The recurrence of RWKV-5 and 6: a matrix S a head, whose rows (key channels i) fade by d_t = exp(-exp(w_t)) a step:
//   y_t[j] = sum_i r_t[i] (S[i,j] + u[i] k_t[i] v_t[j]),  then  S[i,j] = d_t[i] S[i,j] + k_t[i] v_t[j]
// In RWKV-5 w is a parameter (H, N), in RWKV-6 it comes with each step. Backward is the same recurrence from the last step
// to the first, REVERSED: with k as r, r as k, dy as v and the gradient of the last state as `before`, y is dv, the last
// state the gradient of the first, and S what backward calls G, the gradient of the state after a step.
// An invocation keeps 4 DEPTH key channels of 4 value channels in registers, as matrices with a column a key channel. r, k
// and d of STEPS steps are in workgroup memory; where several invocations share the keys of a head, so are the parts of y.
// Shapes: B batch, T steps, H heads of N channels, P = ceil(T / SPAN).
// Dispatch: ceil(B H / HEADS) workgroups of HEADS heads.
// Source: Peng et al. 2024, https://arxiv.org/abs/2404.05892, section 4.

override REVERSED: bool = false;
override HEADS: u32 = 1u;   // heads a workgroup
override LANES: u32 = 64u;  // invocations: HEADS * BLOCKS * QUADS
const QUADS: u32 = 16u;     // quads of value channels: N / 4 rounded up
const BLOCKS: u32 = 4u;     // invocations that share the keys of a head: QUADS / DEPTH rounded up
const DEPTH: u32 = 4u;      // quads of key channels an invocation, 1, 2 or 4
const STEPS: u32 = 8u;      // steps in workgroup memory, a divisor of SPAN
const SPAN: u32 = 16u;      // steps from a kept state to the next

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  size: u32,      // N
  w_sample: u32,  // values from a batch entry's w to the next's, and from a step's: 0 if all have the same
  w_step: u32,
  given: u32,     // 1 if there is a state before the first step; else it is 0
  keep: u32,      // 1 to write the states before each span
  after: u32,     // where each of these begins in kept
  states: u32,
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

// Steps of a head side by side, quads of its channels.
var<workgroup> tile_r: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_k: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_d: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> partial: array<vec4f, STEPS * LANES * ((BLOCKS + 6u) / 8u) + 1u>;  // of y, if BLOCKS > 1

// e^(-e^x): how much of the state a step leaves.
fn wkv_decay(x: f32) -> f32 {
  return exp(min(-exp(min(x, 80.0)), 0.0));
}

// The state after a step: each key channel faded, and k v^T.
fn wkv6_advance(s: mat4x4f, d: vec4f, k4: vec4f, v4: vec4f) -> mat4x4f {
  return mat4x4f(s[0] * d.x + v4 * k4.x, s[1] * d.y + v4 * k4.y, s[2] * d.z + v4 * k4.z, s[3] * d.w + v4 * k4.w);
}

// Brings `count` steps from `first` on to workgroup memory; channels beyond N, and heads beyond B H, are 0.
fn wkv6_fill(group: u32, first: u32, count: u32, lane: u32) {
  const VECTORS = BLOCKS * DEPTH;
  let size = params.size;
  workgroupBarrier();
  for (var i = lane; i < HEADS * count * VECTORS; i += LANES) {
    let head = group * HEADS + i / (count * VECTORS);
    let step = i / VECTORS % count;
    let b = head / params.heads;
    let channel = head % params.heads * size;
    let at = (b * params.steps + first + step) * params.heads * size + channel;
    let w_at = b * params.w_sample + (first + step) * params.w_step + channel;
    var rs = vec4f();
    var ks = vec4f();
    var ds = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let c = i % VECTORS * 4u + e;
      if (c < size && head < params.all) {
        rs[e] = r[at + c];
        ks[e] = k[at + c];
        ds[e] = wkv_decay(w[w_at + c]);
      }
    }
    let to = (i / (count * VECTORS) * STEPS + step) * VECTORS + i % VECTORS;
    tile_r[to] = rs;
    tile_k[to] = ks;
    tile_d[to] = ds;
  }
  workgroupBarrier();
}

// Where a quad of key channels meets a quad of value channels in a state matrix.
struct Corner {
  matrix: u32,
  i: u32,
  j: u32,
  live: bool,
}

fn wkv6_load(at: Corner) -> mat4x4f {
  var s = mat4x4f();
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + c < params.size && at.j + e < params.size) {
        s[c][e] = before[at.matrix + (at.i + c) * params.size + at.j + e];
      }
    }
  }
  return s;
}

fn wkv6_store(base: u32, at: Corner, s: mat4x4f) {
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + c < params.size && at.j + e < params.size) {
        kept[base + at.matrix + (at.i + c) * params.size + at.j + e] = s[c][e];
      }
    }
  }
}

fn wkv6_u(at: Corner, depth: u32, channel: u32) -> vec4f {
  var u4 = vec4f();
  for (var e = 0u; e < 4u; e++) {
    let i = at.i + 4u * depth + e;
    if (i < params.size) {
      u4[e] = u[channel + i];
    }
  }
  return u4;
}

fn wkv6_show(at: u32, j: u32, value: vec4f) {
  for (var e = 0u; e < 4u; e++) {
    if (j + e < params.size) {
      y[at + e] = value[e];
    }
  }
}

@compute @workgroup_size(LANES)
fn forward(
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
  let channel = head % params.heads * size;
  let start = head / params.heads * params.steps * width + channel + lane % QUADS * 4u;
  let at = Corner(head * size * size, part * DEPTH * 4u, lane % QUADS * 4u, head < params.all);
  let u0 = wkv6_u(at, 0u, channel);
  let u1 = wkv6_u(at, 1u, channel);
  let u2 = wkv6_u(at, 2u, channel);
  let u3 = wkv6_u(at, 3u, channel);
  var s0 = mat4x4f();
  var s1 = mat4x4f();
  var s2 = mat4x4f();
  var s3 = mat4x4f();
  if (params.given == 1u) {
    // Loops over few quads, here and below, because a copy of the code for each would take seconds to compile.
    var corners = array<mat4x4f, 4>();
    for (var depth = 0u; depth < DEPTH; depth++) {
      corners[depth] = wkv6_load(Corner(at.matrix, at.i + 4u * depth, at.j, at.live));
    }
    s0 = corners[0];
    s1 = corners[1];
    s2 = corners[2];
    s3 = corners[3];
  }
  // Once more after the last step, to store the last state.
  let tiles = (params.steps + STEPS - 1u) / STEPS;
  for (var tile = 0u; tile <= tiles; tile++) {
    let done = tile == tiles;
    let first = select(tile, tiles - 1u - min(tile, tiles - 1u), REVERSED) * STEPS;
    let count = select(min(STEPS, params.steps - first), 0u, done);
    let border = select(first % SPAN == 0u, first + count == params.steps || (first + count) % SPAN == 0u, REVERSED);
    if (done || (params.keep == 1u && border)) {
      let base = select(params.states + first / SPAN * params.all * size * size, params.after, done);
      let corners = array<mat4x4f, 4>(s0, s1, s2, s3);
      for (var depth = 0u; depth < DEPTH; depth++) {
        wkv6_store(base, Corner(at.matrix, at.i + 4u * depth, at.j, at.live), corners[depth]);
      }
    }
    wkv6_fill(place, first, count, lane);
    for (var n = 0u; n < count; n++) {
      let t = select(n, count - 1u - n, REVERSED);
      let step = start + (first + t) * width;
      var v4 = vec4f();
      for (var e = 0u; e < 4u; e++) {
        v4[e] = v[step + e];
      }
      let i = (slot * STEPS + t) * VECTORS + part * DEPTH;
      var r4 = tile_r[i];
      var k4 = tile_k[i];
      var now = r4 * u0 * k4;
      var sum = s0 * r4;
      s0 = wkv6_advance(s0, tile_d[i], k4, v4);
      if (DEPTH > 1u) {
        r4 = tile_r[i + 1u];
        k4 = tile_k[i + 1u];
        now += r4 * u1 * k4;
        sum += s1 * r4;
        s1 = wkv6_advance(s1, tile_d[i + 1u], k4, v4);
      }
      if (DEPTH > 2u) {
        r4 = tile_r[i + 2u];
        k4 = tile_k[i + 2u];
        now += r4 * u2 * k4;
        sum += s2 * r4;
        s2 = wkv6_advance(s2, tile_d[i + 2u], k4, v4);
        r4 = tile_r[i + 3u];
        k4 = tile_k[i + 3u];
        now += r4 * u3 * k4;
        sum += s3 * r4;
        s3 = wkv6_advance(s3, tile_d[i + 3u], k4, v4);
      }
      sum += dot(now, vec4f(1.0)) * v4;
      if (BLOCKS > 1u) {
        partial[t * LANES + lane] = sum;
      } else if (at.live) {
        wkv6_show(step, at.j, sum);
      }
    }
    if (BLOCKS > 1u) {
      workgroupBarrier();
      for (var t = part; t < count && at.live; t += BLOCKS) {
        var sum = vec4f();
        for (var other = 0u; other < BLOCKS; other++) {
          sum += partial[t * LANES + (slot * BLOCKS + other) * QUADS + lane % QUADS];
        }
        wkv6_show(start + (first + t) * width, at.j, sum);
      }
    }
  }
}
