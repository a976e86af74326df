// The recurrence of RWKV-7, a generalised delta rule: a matrix S a head, value (row i) by key (column j), with the decay
// d_t = exp(-exp(w_t)):
//   S = S (diag(d_t) + a_t b_t^T) + v_t k_t^T,  y_t = S r_t
// An invocation keeps 4 DEPTH key channels of 4 value channels in registers, as matrices with a column a key channel. r, d,
// k, a and b of STEPS steps are in workgroup memory; where several invocations share the keys of a head, so are the parts
// of S a, which they need at once, and of y, which can wait. For backward, S a of every step is kept, and S before every
// span of SPAN steps.
// Shapes: B batch, T steps, H heads of N channels, P = ceil(T / SPAN).
// Dispatch: ceil(B H / HEADS) workgroups of HEADS heads.
// Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.

override HEADS: u32 = 1u;   // heads a workgroup
override LANES: u32 = 64u;  // invocations: HEADS * BLOCKS * QUADS
const QUADS: u32 = 16u;     // quads of value channels: N / 4 rounded up
const BLOCKS: u32 = 4u;     // invocations that share the keys of a head: QUADS / DEPTH rounded up
const DEPTH: u32 = 4u;      // quads of key channels an invocation, 1, 2 or 4
const STEPS: u32 = 4u;      // steps in workgroup memory, a divisor of SPAN
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

// Steps of a head side by side, quads of its channels.
var<workgroup> tile_r: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_d: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_k: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_a: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
var<workgroup> tile_b: array<vec4f, HEADS * STEPS * BLOCKS * DEPTH>;
// Where BLOCKS > 1: parts of S a, two steps taking turns, then of y.
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

// The state after a step, of the key channels at i of the tiles: S diag(d) + (S a) b^T + v k^T.
fn wkv7_advance(s: mat4x4f, i: u32, sa: vec4f, v4: vec4f) -> mat4x4f {
  let d = tile_d[i];
  let b4 = tile_b[i];
  let k4 = tile_k[i];
  return mat4x4f(
    s[0] * d.x + sa * b4.x + v4 * k4.x,
    s[1] * d.y + sa * b4.y + v4 * k4.y,
    s[2] * d.z + sa * b4.z + v4 * k4.z,
    s[3] * d.w + sa * b4.w + v4 * k4.w
  );
}

// Where a quad of value channels meets a quad of key channels in a state matrix.
struct Corner {
  matrix: u32,
  i: u32,
  j: u32,
  live: bool,
}

fn wkv7_load(at: Corner) -> mat4x4f {
  var s = mat4x4f();
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + e < params.size && at.j + c < params.size) {
        s[c][e] = before[at.matrix + (at.i + e) * params.size + at.j + c];
      }
    }
  }
  return s;
}

fn wkv7_store(base: u32, at: Corner, s: mat4x4f) {
  for (var c = 0u; c < 4u; c++) {
    for (var e = 0u; e < 4u; e++) {
      if (at.live && at.i + e < params.size && at.j + c < params.size) {
        out[base + at.matrix + (at.i + e) * params.size + at.j + c] = s[c][e];
      }
    }
  }
}

// Four value channels of a step.
fn wkv7_show(at: u32, i: u32, value: vec4f) {
  for (var e = 0u; e < 4u; e++) {
    if (i + e < params.size) {
      out[at + e] = value[e];
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
  let start = wkv7_start(head) + lane % QUADS * 4u;
  let at = Corner(head * size * size, lane % QUADS * 4u, part * DEPTH * 4u, head < params.all);
  let mates = slot * BLOCKS * QUADS + lane % QUADS;
  var s0 = mat4x4f();
  var s1 = mat4x4f();
  var s2 = mat4x4f();
  var s3 = mat4x4f();
  if (params.given == 1u) {
    // Loops over few quads, here and below, because a copy of the code for each would take seconds to compile.
    var corners = array<mat4x4f, 4>();
    for (var depth = 0u; depth < DEPTH; depth++) {
      corners[depth] = wkv7_load(Corner(at.matrix, at.i, at.j + 4u * depth, at.live));
    }
    s0 = corners[0];
    s1 = corners[1];
    s2 = corners[2];
    s3 = corners[3];
  }
  // Once more after the last step, to store the last state.
  let tiles = (params.steps + STEPS - 1u) / STEPS;
  for (var tile = 0u; tile <= tiles; tile++) {
    let first = tile * STEPS;
    if (tile == tiles || (params.keep == 1u && first % SPAN == 0u)) {
      let base = select(params.states + first / SPAN * params.all * size * size, params.after, tile == tiles);
      let corners = array<mat4x4f, 4>(s0, s1, s2, s3);
      for (var depth = 0u; depth < DEPTH; depth++) {
        wkv7_store(base, Corner(at.matrix, at.i, at.j + 4u * depth, at.live), corners[depth]);
      }
    }
    let count = min(STEPS, max(params.steps, first) - first);
    wkv7_fill(place, first, count, lane);
    for (var t = 0u; t < count; t++) {
      let step = start + (first + t) * width;
      var v4 = vec4f();
      for (var e = 0u; e < 4u; e++) {
        v4[e] = v[step + e];
      }
      let i = (slot * STEPS + t) * VECTORS + part * DEPTH;
      var sa = s0 * tile_a[i];
      if (DEPTH > 1u) {
        sa += s1 * tile_a[i + 1u];
      }
      if (DEPTH > 2u) {
        sa += s2 * tile_a[i + 2u] + s3 * tile_a[i + 3u];
      }
      if (BLOCKS > 1u) {
        let turn = t % 2u * LANES;
        partial[turn + lane] = sa;
        workgroupBarrier();
        sa = vec4f();
        for (var other = 0u; other < BLOCKS; other++) {
          sa += partial[turn + mates + other * QUADS];
        }
      }
      s0 = wkv7_advance(s0, i, sa, v4);
      var sum = s0 * tile_r[i];
      if (DEPTH > 1u) {
        s1 = wkv7_advance(s1, i + 1u, sa, v4);
        sum += s1 * tile_r[i + 1u];
      }
      if (DEPTH > 2u) {
        s2 = wkv7_advance(s2, i + 2u, sa, v4);
        s3 = wkv7_advance(s3, i + 3u, sa, v4);
        sum += s2 * tile_r[i + 2u] + s3 * tile_r[i + 3u];
      }
      if (BLOCKS > 1u) {
        partial[(2u + t) * LANES + lane] = sum;
      } else if (at.live) {
        wkv7_show(step, at.i, sum);
      }
      if (params.keep == 1u && part == 0u && at.live) {
        wkv7_show(params.sa + step, at.i, sa);
      }
    }
    if (BLOCKS > 1u) {
      workgroupBarrier();
      for (var t = part; t < count && at.live; t += BLOCKS) {
        var sum = vec4f();
        for (var other = 0u; other < BLOCKS; other++) {
          sum += partial[(2u + t) * LANES + mates + other * QUADS];
        }
        wkv7_show(start + (first + t) * width, at.i, sum);
      }
    }
  }
}
