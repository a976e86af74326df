// The average of RWKV-4, channel by channel, with w = -exp(decay) and u = first:
//   y_t = (sum of e^((t-1-i) w + k_i) v_i over i < t, plus e^(u + k_t) v_t) / (the same without v)
// The state is what the steps before leave: aa and bb, the sums above and below the line, both divided by e^pp, with pp
// the largest exponent so far. So nothing overflows: of two terms that are added, the larger has the weight 1.
// States of neighbouring stretches can be joined, so a long sequence of few channels is cut into J parts of L steps
// that run side by side: `summary` runs each from an empty state, `forward` joins what lies before its own part; where
// a workgroup has a lane for every part of its channels, `joined` does both.
// Backward reads from `kept` the state before every SPAN-th step, decay and first, and the lengths.
// With LENGTHS a sequence ends after its own steps: y is 0 beyond, and the state stays.
// Shapes: B batch, T steps, C channels, P = ceil(T / SPAN). A state is (3, B, C): aa, bb, pp; bb = 0 counts as empty.
// Dispatch: one invocation for a part of a channel: `summary` ceil((J - 1) B C / LANES), if J > 1; then `forward`
// ceil(J B C / LANES). Or `joined` ceil(B C / COLUMNS), with LANES = J COLUMNS.
// Source: Peng et al. 2023, https://arxiv.org/abs/2305.13048, section 3 and appendix D.

override LANES: u32 = 32u;         // invocations a workgroup
override COLUMNS: u32 = 16u;       // channels (over the batch) a workgroup of `joined`
override LENGTHS: bool = false;    // sequences have lengths of their own
const SPAN: u32 = 4u;              // steps from a kept state to the next; L is a multiple

struct Params {
  steps: u32,        // T
  rows: u32,         // B C
  channels: u32,     // C
  parts: u32,        // J
  length: u32,       // L
  given: u32,        // 1 if there is a state before the first step; else it is empty
  keep: u32,         // 1 to write what backward reads
  summaries: u32,    // where each of these begins in kept
  checkpoints: u32,
  weights: u32,
  ends: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> decay: array<f32>;       // (C)
@group(0) @binding(2) var<storage, read> first: array<f32>;       // (C)
@group(0) @binding(3) var<storage, read> k: array<f32>;           // (B, T, C)
@group(0) @binding(4) var<storage, read> v: array<f32>;           // (B, T, C)
@group(0) @binding(5) var<storage, read> before: array<f32>;      // (3, B, C)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;     // (B, T, C)
@group(0) @binding(7) var<storage, read_write> kept: array<f32>;  // states: last (3, B, C); (J, 3, B, C); (P, 3, B, C); then (2, C), (B)
@group(0) @binding(8) var<storage, read> lengths: array<u32>;     // (B)

var<workgroup> joints: array<vec3f, LANES>;  // what `joined` finds in each part

struct Wkv4 {
  aa: f32,
  bb: f32,
  pp: f32,
}

// e^(p - q) and e^(r - q), with q the larger of p and r.
fn wkv4_weights(p: f32, r: f32) -> vec2f {
  let less = exp(-abs(p - r));
  let first_larger = p >= r;
  return vec2f(select(less, 1.0, first_larger), select(1.0, less, first_larger));
}

// A stretch that decays by e^shift, and the stretch after it. A single step is (v, 1, k).
fn wkv4_join(s: Wkv4, shift: f32, after: Wkv4) -> Wkv4 {
  let p = s.pp + shift;
  let weight = wkv4_weights(p, after.pp);
  return Wkv4(weight.x * s.aa + weight.y * after.aa, weight.x * s.bb + weight.y * after.bb, max(p, after.pp));
}

fn wkv4_load(at: u32) -> Wkv4 {
  return Wkv4(kept[at], kept[at + params.rows], kept[at + 2u * params.rows]);
}

fn wkv4_store(at: u32, s: Wkv4) {
  kept[at] = s.aa;
  kept[at + params.rows] = s.bb;
  kept[at + 2u * params.rows] = s.pp;
}

// Steps of a row's sequence.
fn wkv4_steps(row: u32) -> u32 {
  if (LENGTHS) {
    return min(lengths[row / params.channels], params.steps);
  }
  return params.steps;
}

fn wkv4_decay_of(row: u32) -> f32 {
  return -exp(min(decay[row % params.channels], 60.0));
}

// A part from an empty state.
fn wkv4_part(part: u32, row: u32) -> Wkv4 {
  let w = wkv4_decay_of(row);
  let start = row / params.channels * params.steps * params.channels + row % params.channels;
  var s = Wkv4(0.0, 0.0, -1e30);
  for (var t = part * params.length; t < min((part + 1u) * params.length, wkv4_steps(row)); t++) {
    let i = start + t * params.channels;
    s = wkv4_join(s, w, Wkv4(v[i], 1.0, k[i]));
  }
  return s;
}

// The state before the first step.
fn wkv4_given(row: u32) -> Wkv4 {
  if (params.given == 0u) {
    return Wkv4(0.0, 0.0, -1e30);
  }
  let bb = before[row + params.rows];
  return Wkv4(before[row], bb, select(before[row + 2u * params.rows], -1e30, bb == 0.0));
}

// Decay over all steps of a part.
fn wkv4_shift(part: u32, row: u32) -> f32 {
  let first = part * params.length;
  return wkv4_decay_of(row) * f32(clamp(wkv4_steps(row), first, first + params.length) - first);
}

// The steps of a part from the state before them.
fn wkv4_run(part: u32, row: u32, s: Wkv4) {
  let c = row % params.channels;
  let w = -exp(min(decay[c], 60.0));
  let u = first[c];
  let start = row / params.channels * params.steps * params.channels + c;
  let steps = wkv4_steps(row);
  // Members of s in variables of their own, and indices that count up: the steps are all the work there is.
  var aa = s.aa;
  var bb = s.bb;
  var pp = s.pp;
  let stride = params.channels;
  let span = select(params.length, SPAN, params.keep == 1u);
  let last = min((part + 1u) * params.length, steps);
  for (var begin = part * params.length; begin < last; begin += span) {
    if (params.keep == 1u) {
      wkv4_store(params.checkpoints + begin / SPAN * 3u * params.rows + row, Wkv4(aa, bb, pp));
    }
    let end = start + min(begin + span, last) * stride;
    for (var i = start + begin * stride; i < end; i += stride) {
      let kt = k[i];
      let vt = v[i];
      let shown = wkv4_weights(pp, u + kt);
      y[i] = (shown.x * aa + shown.y * vt) / (shown.x * bb + shown.y);
      let weight = wkv4_weights(pp + w, kt);
      aa = weight.x * aa + weight.y * vt;
      bb = weight.x * bb + weight.y;
      pp = max(pp + w, kt);
    }
  }
  if (LENGTHS) {
    for (var t = max(part * params.length, steps); t < min((part + 1u) * params.length, params.steps); t++) {
      y[start + t * stride] = 0.0;
    }
  }
  if (part + 1u == params.parts) {
    wkv4_store(row, Wkv4(aa, bb, pp));
    if (params.keep == 1u && row == c) {
      kept[params.weights + c] = decay[c];
      kept[params.weights + params.channels + c] = u;
    }
    if (params.keep == 1u && LENGTHS && c == 0u) {
      kept[params.ends + row / params.channels] = f32(steps);
    }
  }
}

@compute @workgroup_size(LANES)
fn summary(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let part = id / params.rows;
  if (part + 1u < params.parts) {
    let row = id % params.rows;
    wkv4_store(params.summaries + part * 3u * params.rows + row, wkv4_part(part, row));
  }
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let part = id / params.rows;
  if (part < params.parts) {
    let row = id % params.rows;
    var s = wkv4_given(row);
    for (var i = 0u; i < part; i++) {
      s = wkv4_join(s, wkv4_shift(i, row), wkv4_load(params.summaries + i * 3u * params.rows + row));
    }
    wkv4_run(part, row, s);
  }
}

@compute @workgroup_size(LANES)
fn joined(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let column = lane % COLUMNS;
  let part = lane / COLUMNS;
  let row = (group.x + group.y * groups.x) * COLUMNS + column;
  let mine = row < params.rows && part < params.parts;
  if (mine && part + 1u < params.parts) {
    let s = wkv4_part(part, row);
    joints[lane] = vec3f(s.aa, s.bb, s.pp);
  }
  workgroupBarrier();
  if (mine) {
    var s = wkv4_given(row);
    for (var i = 0u; i < part; i++) {
      let over = joints[i * COLUMNS + column];
      s = wkv4_join(s, wkv4_shift(i, row), Wkv4(over.x, over.y, over.z));
    }
    wkv4_run(part, row, s);
  }
}
