// Gradients of wkv4.wgsl. With q = max(pp, u + k_t) and g_t = dy_t / (e^(pp - q) bb + e^(u + k_t - q)), the gradients
// (a, b) of the sums (aa, bb) after a step are carried back over it as (a', b') of those before:
//   dv_t = e^(k_t - pp') a + e^(u + k_t - q) g_t         dk_t = e^(k_t - pp') (a v_t + b) + e^(u + k_t - q) g_t (v_t - y_t)
//   a' = e^(pp + w - pp') a + e^(pp - q) g_t             b' = e^(pp + w - pp') b - e^(pp - q) g_t y_t
//   dw += e^(pp + w - pp') (a aa + b bb)                 du += e^(u + k_t - q) g_t (v_t - y_t)
// where pp is the exponent before the step and pp' after it: a and b are gradients of scaled sums, so every exponent is
// at most 0. pp itself only scales; its gradient is 0. The states kept at every SPAN-th step are the start for those in
// between, which stay in registers. The recurrence of (a, b) is linear, so the J parts of a long sequence run side by
// side: `summary` runs each from (0, 0), `backward` joins what lies after its own part; where a workgroup has a lane for
// every part of its channels, `joined` does both.
// Shapes: as in wkv4.wgsl.
// Dispatch: one invocation for a part of a channel: `summary` ceil(J B C / LANES), if J > 1; then `backward`
// ceil(J B C / LANES); or `joined` ceil(B C / COLUMNS), with LANES = J COLUMNS; then `collect` ceil(2 C / LANES), which adds up decay and first over parts and batch in a fixed order.
// Source: as wkv4.wgsl; the gradients are worked out from its equations.

override LANES: u32 = 32u;         // invocations a workgroup
override COLUMNS: u32 = 16u;       // channels (over the batch) a workgroup of `joined`
const SPAN: u32 = 4u;              // steps from a kept state to the next; L is a multiple
override LENGTHS: bool = false;    // sequences have lengths of their own: no gradients beyond
override ADD_K: bool = false;      // dk += instead of =
override ADD_V: bool = false;
override ADD_DECAY: bool = false;
override ADD_FIRST: bool = false;

struct Params {
  steps: u32,        // T
  rows: u32,         // B C
  channels: u32,     // C
  parts: u32,        // J
  length: u32,       // L
  upstream: u32,     // 1 if the last state has a gradient
  checkpoints: u32,  // where each of these begins in kept
  weights: u32,
  ends: u32,
  joints: u32,       // where each of these begins in sums
  shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;             // (B, T, C)
@group(0) @binding(2) var<storage, read> v: array<f32>;             // (B, T, C)
@group(0) @binding(3) var<storage, read> kept: array<f32>;          // as in wkv4.wgsl
@group(0) @binding(4) var<storage, read> dy: array<f32>;            // (B, T, C)
@group(0) @binding(5) var<storage, read> dafter: array<f32>;        // (3, B, C)
@group(0) @binding(6) var<storage, read_write> dk: array<f32>;      // (B, T, C)
@group(0) @binding(7) var<storage, read_write> dv: array<f32>;      // (B, T, C)
@group(0) @binding(8) var<storage, read_write> sums: array<f32>;    // dbefore (3, B, C); joints (J, 2, B, C); shares (2, J, B, C)
@group(0) @binding(9) var<storage, read> parts: array<f32>;         // sums (all of it)
@group(0) @binding(10) var<storage, read_write> ddecay: array<f32>; // (C)
@group(0) @binding(11) var<storage, read_write> dfirst: array<f32>; // (C)

var<workgroup> joints: array<vec2f, LANES>;  // what `joined` finds in each part

// Weights of two terms when the smaller is known.
fn wkv4_pair(less: f32, p: f32, r: f32) -> vec2f {
  let first_larger = p >= r;
  return vec2f(select(less, 1.0, first_larger), select(1.0, less, first_larger));
}

fn wkv4_decay(c: u32) -> f32 {
  return -exp(min(kept[params.weights + c], 60.0));
}

// Where one part of a channel lies.
struct Stretch {
  row: u32,
  c: u32,
  start: u32,    // of the channel in k
  first: u32,    // step
  last: u32,     // step after the last
}

// Steps of a row's sequence.
fn wkv4_kept_steps(row: u32) -> u32 {
  if (LENGTHS) {
    return u32(kept[params.ends + row / params.channels]);
  }
  return params.steps;
}

fn wkv4_stretch(part: u32, row: u32) -> Stretch {
  let c = row % params.channels;
  let start = row / params.channels * params.steps * params.channels + c;
  let first = part * params.length;
  return Stretch(row, c, start, first, max(first, min(first + params.length, wkv4_kept_steps(row))));
}

// Gradients (a, b) of the state, and of w and u so far.
struct Descent {
  a: f32,
  b: f32,
  dw: f32,
  du: f32,
}

// aa, bb and pp after a step, with the smaller of the weights that the step took.
fn wkv4_ahead(s: vec4f, w: f32, i: u32) -> vec4f {
  let kt = k[i];
  let less = exp(-abs(s.z + w - kt));
  let weight = wkv4_pair(less, s.z + w, kt);
  return vec4f(weight.x * s.x + weight.y * v[i], weight.x * s.y + weight.y, max(s.z + w, kt), less);
}

// Back over step i, from the state s before it.
fn wkv4_back(d: Descent, s: vec4f, less: f32, w: f32, u: f32, i: u32, full: bool) -> Descent {
  let kt = k[i];
  let vt = v[i];
  let now = u + kt;
  let weight = wkv4_pair(less, s.z + w, kt);
  let shown = wkv4_pair(exp(-abs(s.z - now)), s.z, now);
  let scale = 1.0 / (shown.x * s.y + shown.y);
  let yt = (shown.x * s.x + shown.y * vt) * scale;
  let g = dy[i] * scale;
  let own = shown.y * g;
  let tilt = own * (vt - yt);
  if (full) {
    var gk = weight.y * (d.a * vt + d.b) + tilt;
    var gv = weight.y * d.a + own;
    if (ADD_K) {
      gk += dk[i];
    }
    if (ADD_V) {
      gv += dv[i];
    }
    dk[i] = gk;
    dv[i] = gv;
  }
  let far = shown.x * g;
  let dw = d.dw + weight.x * (d.a * s.x + d.b * s.y);
  return Descent(weight.x * d.a + far, weight.x * d.b - far * yt, dw, d.du + tilt);
}

// Goes back over a stretch from the gradients (a, b) of the state after it. States after the last step are computed,
// from whatever lies there, but not used.
fn wkv4_descend(at: Stretch, a: f32, b: f32, full: bool) -> Descent {
  let w = wkv4_decay(at.c);
  let u = kept[params.weights + params.channels + at.c];
  let stride = params.channels;
  var d = Descent(a, b, 0.0, 0.0);
  for (var end = at.last; end > at.first; end = (end - 1u) / SPAN * SPAN) {
    let begin = (end - 1u) / SPAN * SPAN;
    let count = end - begin;
    let checkpoint = params.checkpoints + begin / SPAN * 3u * params.rows + at.row;
    let s0 = vec4f(kept[checkpoint], kept[checkpoint + params.rows], kept[checkpoint + 2u * params.rows], 0.0);
    let i = at.start + begin * stride;
    let s1 = wkv4_ahead(s0, w, i);
    let s2 = wkv4_ahead(s1, w, i + stride);
    let s3 = wkv4_ahead(s2, w, i + 2u * stride);
    if (count > 3u) {
      let s4 = wkv4_ahead(s3, w, i + 3u * stride);
      d = wkv4_back(d, s3, s4.w, w, u, i + 3u * stride, full);
    }
    if (count > 2u) {
      d = wkv4_back(d, s2, s3.w, w, u, i + 2u * stride, full);
    }
    if (count > 1u) {
      d = wkv4_back(d, s1, s2.w, w, u, i + stride, full);
    }
    d = wkv4_back(d, s0, s1.w, w, u, i, full);
  }
  return d;
}

@compute @workgroup_size(LANES)
fn summary(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let part = id / params.rows;
  if (part < params.parts) {
    let row = id % params.rows;
    let d = wkv4_descend(wkv4_stretch(part, row), 0.0, 0.0, false);
    let at = params.joints + part * 2u * params.rows + row;
    sums[at] = d.a;
    sums[at + params.rows] = d.b;
  }
}

// Exponent of the state before a step at which a part begins, or of the last state.
fn wkv4_exponent(row: u32, step: u32) -> f32 {
  if (step >= wkv4_kept_steps(row)) {
    return kept[2u * params.rows + row];
  }
  return kept[params.checkpoints + (step / SPAN * 3u + 2u) * params.rows + row];
}

// The gradients (a, b) of the last state.
fn wkv4_upstream(row: u32) -> vec2f {
  if (params.upstream == 0u) {
    return vec2f(0.0);
  }
  return vec2f(dafter[row], dafter[row + params.rows]);
}

// Carries (a, b) from the end of a part to its beginning, where `own` is what the part itself adds.
fn wkv4_over(part: u32, row: u32, after: vec2f, own: vec2f) -> vec2f {
  let over = wkv4_stretch(part, row);
  let fading = wkv4_decay(over.c) * f32(over.last - over.first);
  let shift = wkv4_exponent(row, over.first) + fading - wkv4_exponent(row, over.last);
  return exp(min(shift, 0.0)) * after + own;
}

// All gradients of a part, from those of the state after it.
fn wkv4_finish(part: u32, row: u32, after: vec2f) {
  let at = wkv4_stretch(part, row);
  let d = wkv4_descend(at, after.x, after.y, true);
  if (LENGTHS) {
    for (var t = at.last; t < min(at.first + params.length, params.steps); t++) {
      let i = at.start + t * params.channels;
      dk[i] = select(0.0, dk[i], ADD_K);
      dv[i] = select(0.0, dv[i], ADD_V);
    }
  }
  let share = params.shares + part * params.rows + row;
  sums[share] = d.dw;
  sums[share + params.parts * params.rows] = d.du;
  if (part == 0u) {
    sums[row] = d.a;
    sums[row + params.rows] = d.b;
    sums[row + 2u * params.rows] = 0.0;
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let part = id / params.rows;
  if (part < params.parts) {
    let row = id % params.rows;
    var after = wkv4_upstream(row);
    for (var later = params.parts - 1u; later > part; later--) {
      let joint = params.joints + later * 2u * params.rows + row;
      after = wkv4_over(later, row, after, vec2f(sums[joint], sums[joint + params.rows]));
    }
    wkv4_finish(part, row, after);
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
  if (mine && part > 0u) {
    let d = wkv4_descend(wkv4_stretch(part, row), 0.0, 0.0, false);
    joints[lane] = vec2f(d.a, d.b);
  }
  workgroupBarrier();
  if (mine) {
    var after = wkv4_upstream(row);
    for (var later = params.parts - 1u; later > part; later--) {
      after = wkv4_over(later, row, after, joints[later * COLUMNS + column]);
    }
    wkv4_finish(part, row, after);
  }
}

@compute @workgroup_size(LANES)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let c = id % params.channels;
  let which = id / params.channels;
  let count = params.parts * params.rows;
  var total = 0.0;
  for (var i = c; i < count && which < 2u; i += params.channels) {
    total += parts[params.shares + which * count + i];
  }
  if (which == 0u) {
    total *= wkv4_decay(c);
    if (ADD_DECAY) {
      total += ddecay[c];
    }
    ddecay[c] = total;
  }
  if (which == 1u) {
    if (ADD_FIRST) {
      total += dfirst[c];
    }
    dfirst[c] = total;
  }
}
