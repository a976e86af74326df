// Gradients of scan.wgsl. With g_t = dy_t silu(z_t) and H_t the gradient of the state after step t, going down:
//   H_t = e^(delta_(t+1) A) H_(t+1) + g_t C_t      dC_t[n] = sum_e g_t h_t[n]      dB_t[n] = sum_e H_t[n] delta_t u_t
//   du_t = delta_t sum_n H_t B_t + g_t D           ddelta_t = sum_n H_t (A e^(delta_t A) h_(t-1) + B_t u_t)
//   dA += delta_t H_t e^(delta_t A) h_(t-1)        dz_t = dy_t (sum_n C_t h_t + D u_t) silu'(z_t)
// The states inside a span are computed again from the one kept before it and stay in registers: memory for states is
// that of T / SPAN steps. Sums over n, and over the channels of a workgroup for B and C, meet in workgroup memory; what is
// left to add up lies in shares, which `collect` and `join` add in a fixed order.
// Shapes: as in scan.wgsl; S workgroups along the channels of a group.
// Dispatch: `backward` a workgroup for CHANNELS channels of a group, B G S; `join` ceil(B T 2 G N / 64), an invocation a
// value of dbc; `collect` ceil(E (N + 2) / 64), an invocation a value of dA, dD and dbias.
// Source: as scan.wgsl; the gradients are worked out from its equations.

const QUADS: u32 = 4u;            // ceil(N / 4)
const CHANNELS: u32 = 16u;        // of a workgroup
override LANES: u32 = 64u;        // QUADS CHANNELS
const STEPS: u32 = 4u;            // of a tile; SPAN is a multiple
const SPAN: u32 = 8u;             // steps from a kept state to the next
override LOG_A: bool = false;     // A = -e^a instead of a: dA becomes da
override SKIP: bool = false;      // there is D
override BIAS: bool = false;
override SOFTPLUS: bool = false;
override GATE: bool = false;      // there is z
override UPSTREAM: bool = false;  // the last state has a gradient
override ADD_A: bool = false;     // dA += instead of =
override ADD_D: bool = false;
override ADD_BIAS: bool = false;

struct Params {
  batch: u32,        // B
  steps: u32,        // T
  channels: u32,     // E
  groups: u32,       // G
  size: u32,         // N
  rows: u32,         // B E
  stretches: u32,    // S
  checkpoints: u32,  // where each of these begins in kept
  weights: u32,
  du: u32,           // where each of these begins in grads; dbefore is at 0
  ddelta: u32,
  dz: u32,
  shares_bc: u32,
  shares_a: u32,
  shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;            // (B, T, E)
@group(0) @binding(2) var<storage, read> delta: array<f32>;        // (B, T, E)
@group(0) @binding(3) var<storage, read> bc: array<f32>;           // (B, T, 2, G, N), B and then C
@group(0) @binding(4) var<storage, read> z: array<f32>;            // (B, T, E)
@group(0) @binding(5) var<storage, read> dy: array<f32>;           // (B, T, E)
@group(0) @binding(6) var<storage, read> dafter: array<f32>;       // (B, E, N)
@group(0) @binding(7) var<storage, read> kept: array<f32>;         // as in scan.wgsl
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;  // dbefore (B, E, N); du, ddelta, dz (B, T, E); shares of bc (S, B, T, 2, G, N), of A (B, N, E), of D and bias (B, QUADS, 2, E)
@group(0) @binding(9) var<storage, read> parts: array<f32>;        // grads (all of it)
@group(0) @binding(10) var<storage, read_write> dbc: array<f32>;   // (B, T, 2, G, N)
@group(0) @binding(11) var<storage, read_write> da: array<f32>;    // (E, N)
@group(0) @binding(12) var<storage, read_write> dd: array<f32>;    // (E)
@group(0) @binding(13) var<storage, read_write> dbias: array<f32>; // (E)

var<workgroup> tile_n: array<vec4f, STEPS * LANES>;  // sums over four n: for du, ddelta, y
var<workgroup> tile_b: array<vec4f, STEPS * LANES>;  // H delta u
var<workgroup> tile_c: array<vec4f, STEPS * LANES>;  // g h

fn scan_sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 80.0)));
}

// log(1 + e^x) without overflow or cancellation.
fn scan_softplus(x: f32) -> f32 {
  let small = exp(-abs(x));
  let series = small * (1.0 - small * (0.5 - small * (1.0 / 3.0)));
  return max(x, 0.0) + select(log(max(1.0 + small, 1.0)), series, small < 0.01);
}

fn scan_pace(raw: f32) -> f32 {
  return select(raw, select(scan_softplus(raw), raw, raw > 20.0), SOFTPLUS);
}

// Four of B (part 0) or C (part 1) of a step.
fn scan_quad(step: u32, part: u32, g: u32, quad: u32) -> vec4f {
  let start = ((step * 2u + part) * params.groups + g) * params.size + quad * 4u;
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (quad * 4u + i < params.size) {
      four[i] = bc[start + i];
    }
  }
  return four;
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.x + group.y * groups.x;
  let wide = params.channels / params.groups;
  let b = place / (params.groups * params.stretches);
  let g = place / params.stretches % params.groups;
  let stretch = place % params.stretches;
  let channel = stretch * CHANNELS + lane % CHANNELS;
  let quad = lane / CHANNELS;
  let inside = b < params.batch;
  let live = inside && channel < wide;
  let e = g * wide + channel;
  let row = b * params.channels + e;
  let skip = params.weights + params.size * params.channels + e;
  let across = 2u * params.groups * params.size;
  var a4 = vec4f();
  var carry = vec4f();
  var da4 = vec4f();
  var offset = 0.0;
  var through = 0.0;
  var sum_d = 0.0;
  var sum_bias = 0.0;
  var hs = array<vec4f, SPAN>();
  if (live) {
    for (var i = 0u; i < 4u; i++) {
      let n = quad * 4u + i;
      if (n < params.size) {
        a4[i] = kept[params.weights + n * params.channels + e];
        if (UPSTREAM) {
          carry[i] = dafter[row * params.size + n];
        }
      }
    }
    if (BIAS) {
      offset = kept[skip + params.channels];
    }
    if (SKIP) {
      through = kept[skip];
    }
  }
  let tiles = (params.steps + STEPS - 1u) / STEPS;
  for (var tile = tiles; tile > 0u; tile--) {
    let first = (tile - 1u) * STEPS;
    let count = min(STEPS, params.steps - first);
    if (live && (tile == tiles || tile * STEPS % SPAN == 0u)) {
      // The states before the steps of this span.
      let span = first / SPAN;
      var h = vec4f();
      for (var i = 0u; i < 4u; i++) {
        let n = quad * 4u + i;
        if (n < params.size) {
          h[i] = kept[params.checkpoints + (span * params.size + n) * params.rows + row];
        }
      }
      let long = first + count - span * SPAN;
      for (var t = 0u; t < long; t++) {
        hs[t] = h;
        let step = b * params.steps + span * SPAN + t;
        let dt = scan_pace(delta[step * params.channels + e] + offset);
        h = exp(min(dt * a4, vec4f(80.0))) * h + dt * u[step * params.channels + e] * scan_quad(step, 0u, g, quad);
      }
    }
    for (var n = 0u; n < count; n++) {
      let t = count - 1u - n;
      var sums = vec4f();
      var for_b = vec4f();
      var for_c = vec4f();
      if (live) {
        let step = b * params.steps + first + t;
        let at = step * params.channels + e;
        let dt = scan_pace(delta[at] + offset);
        let ut = u[at];
        let b4 = scan_quad(step, 0u, g, quad);
        let c4 = scan_quad(step, 1u, g, quad);
        var up = dy[at];
        if (GATE) {
          up *= z[at] * scan_sigmoid(z[at]);
        }
        let faded = exp(min(dt * a4, vec4f(80.0))) * hs[(first + t) % SPAN];
        let h = faded + dt * ut * b4;
        let back = carry + up * c4;
        sums = vec4f(dot(back, b4), dot(back, a4 * faded), dot(c4, h), 0.0);
        for_b = dt * ut * back;
        for_c = up * h;
        da4 += dt * back * faded;
        carry = exp(min(dt * a4, vec4f(80.0))) * back;
      }
      tile_n[t * LANES + lane] = sums;
      tile_b[t * LANES + lane] = for_b;
      tile_c[t * LANES + lane] = for_c;
    }
    workgroupBarrier();
    if (live) {
      for (var t = quad; t < count; t += QUADS) {
        let at = (b * params.steps + first + t) * params.channels + e;
        var sums = vec4f();
        for (var other = 0u; other < QUADS; other++) {
          sums += tile_n[t * LANES + other * CHANNELS + lane % CHANNELS];
        }
        let raw = delta[at] + offset;
        let ut = u[at];
        var up = dy[at];
        if (GATE) {
          let s = scan_sigmoid(z[at]);
          grads[params.dz + at] = up * (sums.z + through * ut) * s * (1.0 + z[at] * (1.0 - s));
          up *= z[at] * s;
        }
        let slope = select(1.0, select(scan_sigmoid(raw), 1.0, raw > 20.0), SOFTPLUS);
        let ddelta = slope * (sums.y + ut * sums.x);
        grads[params.du + at] = scan_pace(raw) * sums.x + through * up;
        grads[params.ddelta + at] = ddelta;
        sum_d += up * ut;
        sum_bias += ddelta;
      }
    }
    if (inside) {
      // Sums over channels: an invocation takes a quad of B or of C of a step.
      for (var i = lane; i < count * 2u * QUADS; i += LANES) {
        let t = i / (2u * QUADS);
        let part = i / QUADS % 2u;
        let begin = t * LANES + i % QUADS * CHANNELS;
        var sum = vec4f();
        for (var c = 0u; c < CHANNELS; c++) {
          sum += select(tile_c[begin + c], tile_b[begin + c], part == 0u);
        }
        let step = (stretch * params.batch + b) * params.steps + first + t;
        let to = params.shares_bc + step * across + (part * params.groups + g) * params.size + i % QUADS * 4u;
        for (var k = 0u; k < 4u; k++) {
          if (i % QUADS * 4u + k < params.size) {
            grads[to + k] = sum[k];
          }
        }
      }
    }
    workgroupBarrier();
  }
  if (live) {
    for (var i = 0u; i < 4u; i++) {
      let n = quad * 4u + i;
      if (n < params.size) {
        grads[row * params.size + n] = carry[i];
        grads[params.shares_a + (b * params.size + n) * params.channels + e] = da4[i];
      }
    }
    let share = params.shares + (b * QUADS + quad) * 2u * params.channels + e;
    grads[share] = sum_d;
    grads[share + params.channels] = sum_bias;
  }
}

@compute @workgroup_size(64)
fn join(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let all = params.batch * params.steps * 2u * params.groups * params.size;
  if (id < all) {
    var total = 0.0;
    for (var m = 0u; m < params.stretches; m++) {
      total += parts[params.shares_bc + m * all + id];
    }
    dbc[id] = total;
  }
}

@compute @workgroup_size(64)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let e = id % params.channels;
  let n = id / params.channels;
  var total = 0.0;
  if (n < params.size) {
    for (var b = 0u; b < params.batch; b++) {
      total += parts[params.shares_a + (b * params.size + n) * params.channels + e];
    }
    if (LOG_A) {
      total *= kept[params.weights + id];
    }
    if (ADD_A) {
      total += da[e * params.size + n];
    }
    da[e * params.size + n] = total;
  } else if (n < params.size + 2u) {
    let which = n - params.size;
    for (var m = 0u; m < params.batch * QUADS; m++) {
      total += parts[params.shares + (m * 2u + which) * params.channels + e];
    }
    if (which == 0u && SKIP) {
      if (ADD_D) {
        total += dd[e];
      }
      dd[e] = total;
    }
    if (which == 1u && BIAS) {
      if (ADD_BIAS) {
        total += dbias[e];
      }
      dbias[e] = total;
    }
  }
}
