// The selective scan of Mamba: each channel e keeps N numbers that fade and fill at a pace which the inputs choose.
//   delta = softplus(raw + bias)   h_t[n] = e^(delta A[n]) h_(t-1)[n] + delta B_t[n] u_t
//   y_t = sum_n C_t[n] h_t[n] + D u_t, then times silu(z_t)
// An invocation holds four of the N; the sums over n of STEPS steps meet in workgroup memory, so that there are two
// barriers in STEPS steps. `prepare` puts what a channel has for good (A, D, bias) into kept, where backward finds it too.
// Shapes: B batch, T steps, E channels, G groups of channels with B and C of their own, N state size, P = ceil(T / SPAN).
// Dispatch: `prepare` ceil(E (N + 2) / 64); `forward` a workgroup for CHANNELS channels of a group:
// B G ceil(E / G / CHANNELS).
// Source: Gu and Dao 2023, https://arxiv.org/abs/2312.00752, equation 2 and algorithm 2 (B is discretised as delta B).

const QUADS: u32 = 4u;            // ceil(N / 4)
const CHANNELS: u32 = 16u;        // of a workgroup
override LANES: u32 = 64u;        // QUADS CHANNELS
const STEPS: u32 = 4u;            // of a tile; SPAN is a multiple
const SPAN: u32 = 8u;             // steps from a kept state to the next
override LOG_A: bool = false;     // A = -e^a instead of a
override SKIP: bool = false;      // there is D
override BIAS: bool = false;
override SOFTPLUS: bool = false;
override GATE: bool = false;      // there is z
override GIVEN: bool = false;     // there is a state before the first step
override KEEP: bool = false;      // write the states that backward reads

struct Params {
  steps: u32,        // T
  channels: u32,     // E
  groups: u32,       // G
  size: u32,         // N
  rows: u32,         // B E
  checkpoints: u32,  // where each of these begins in kept; the last state is at 0
  weights: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;           // (B, T, E)
@group(0) @binding(2) var<storage, read> delta: array<f32>;       // (B, T, E)
@group(0) @binding(3) var<storage, read> bc: array<f32>;          // (B, T, 2, G, N), B and then C
@group(0) @binding(4) var<storage, read> z: array<f32>;           // (B, T, E)
@group(0) @binding(5) var<storage, read> before: array<f32>;      // (B, E, N)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;     // (B, T, E)
@group(0) @binding(7) var<storage, read_write> kept: array<f32>;  // last state (B, E, N); states before spans (P, N, B, E); A (N, E), D (E), bias (E)
@group(0) @binding(8) var<storage, read> a: array<f32>;           // (E, N)
@group(0) @binding(9) var<storage, read> d: array<f32>;           // (E)
@group(0) @binding(10) var<storage, read> bias: array<f32>;       // (E)

var<workgroup> tile: array<f32, STEPS * LANES>;

@compute @workgroup_size(64)
fn prepare(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let e = id % params.channels;
  let n = id / params.channels;
  if (n < params.size) {
    let value = a[e * params.size + n];
    kept[params.weights + id] = select(value, -exp(min(value, 80.0)), LOG_A);
  } else if (n == params.size) {
    if (SKIP) {
      kept[params.weights + id] = d[e];
    }
  } else if (n == params.size + 1u && BIAS) {
    kept[params.weights + id] = bias[e];
  }
}

fn scan_sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 80.0)));
}

// log(1 + e^x) without overflow or cancellation.
fn scan_softplus(x: f32) -> f32 {
  let small = exp(-abs(x));
  let series = small * (1.0 - small * (0.5 - small * (1.0 / 3.0)));
  return max(x, 0.0) + select(log(max(1.0 + small, 1.0)), series, small < 0.01);
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.x + group.y * groups.x;
  let wide = params.channels / params.groups;
  let stretches = (wide + CHANNELS - 1u) / CHANNELS;
  let b = place / (params.groups * stretches);
  let g = place / stretches % params.groups;
  let channel = place % stretches * CHANNELS + lane % CHANNELS;
  let quad = lane / CHANNELS;
  let live = b * params.channels < params.rows && channel < wide;
  let e = g * wide + channel;
  let row = b * params.channels + e;
  let skip = params.weights + params.size * params.channels + e;
  var a4 = vec4f();
  var h = vec4f();
  var offset = 0.0;
  if (live) {
    for (var i = 0u; i < 4u; i++) {
      let n = quad * 4u + i;
      if (n < params.size) {
        a4[i] = kept[params.weights + n * params.channels + e];
        if (GIVEN) {
          h[i] = before[row * params.size + n];
        }
      }
    }
    if (BIAS) {
      offset = kept[skip + params.channels];
    }
  }
  for (var first = 0u; first < params.steps; first += STEPS) {
    let count = min(STEPS, params.steps - first);
    if (live) {
      if (KEEP && first % SPAN == 0u) {
        for (var i = 0u; i < 4u; i++) {
          let n = quad * 4u + i;
          if (n < params.size) {
            kept[params.checkpoints + (first / SPAN * params.size + n) * params.rows + row] = h[i];
          }
        }
      }
      for (var t = 0u; t < count; t++) {
        let step = b * params.steps + first + t;
        let at = step * params.channels + e;
        let raw = delta[at] + offset;
        let dt = select(raw, select(scan_softplus(raw), raw, raw > 20.0), SOFTPLUS);
        let filled = dt * u[at];
        let i_b = (step * 2u * params.groups + g) * params.size + quad * 4u;
        let i_c = i_b + params.groups * params.size;
        var b4 = vec4f();
        var c4 = vec4f();
        for (var i = 0u; i < 4u; i++) {
          if (quad * 4u + i < params.size) {
            b4[i] = bc[i_b + i];
            c4[i] = bc[i_c + i];
          }
        }
        h = exp(min(dt * a4, vec4f(80.0))) * h + filled * b4;
        tile[t * LANES + lane] = dot(c4, h);
      }
    }
    workgroupBarrier();
    if (live) {
      for (var t = quad; t < count; t += QUADS) {
        let at = (b * params.steps + first + t) * params.channels + e;
        var total = 0.0;
        for (var other = 0u; other < QUADS; other++) {
          total += tile[t * LANES + other * CHANNELS + lane % CHANNELS];
        }
        if (SKIP) {
          total += kept[skip] * u[at];
        }
        if (GATE) {
          total *= z[at] * scan_sigmoid(z[at]);
        }
        y[at] = total;
      }
    }
    workgroupBarrier();
  }
  if (live) {
    for (var i = 0u; i < 4u; i++) {
      let n = quad * 4u + i;
      if (n < params.size) {
        kept[row * params.size + n] = h[i];
      }
    }
  }
}
