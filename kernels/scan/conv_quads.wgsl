// conv.wgsl for four channels at a time and kernels of up to four steps, whose rows and taps stay in registers:
// z_t = bias + sum_m weight[K-1-m] x_(t-m), y = z or silu(z), over SPAN steps an invocation.
// Rows before the first are those of `before`, or zeros; `after` gets the last K - 1, for the steps that follow.
// Backward, with g = dy y'(z):  dx_t = sum_m weight[K-1-m] g_(t+m); of dweight and dbias each span leaves its share, which
// `collect` of conv.wgsl adds up. It computes z again.
// Shapes: B batch, T steps, C channels, a multiple of 4, K width, P = ceil(T / SPAN), at least 1. A state is (B, K - 1, C).
// Dispatch: `forward` and `backward` an invocation for SPAN steps of four channels, B P C / 4. 64 invocations a workgroup.
// Source: Gu and Dao 2023, https://arxiv.org/abs/2312.00752, section 3.4.

const WIDTH: u32 = 4u;             // K, at most 4
const SPAN: u32 = 16u;             // steps of an invocation
override SILU: bool = false;
override GIVEN: bool = false;      // there is a state before the first step
override UPSTREAM: bool = false;   // the last state has a gradient
override BIAS: bool = false;

struct Params {
  batch: u32,   // B
  steps: u32,   // T
  quads: u32,   // C / 4
  spans: u32,   // P
  dx: u32,      // where each of these begins in grads, in vectors
  dbefore: u32,
  shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;              // (B, T, C)
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // (C, K)
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;           // (C)
@group(0) @binding(4) var<storage, read> before: array<vec4f>;         // (B, K - 1, C)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;        // (B, T, C)
@group(0) @binding(6) var<storage, read_write> after: array<vec4f>;    // (B, K - 1, C)
@group(0) @binding(7) var<storage, read> dy: array<vec4f>;             // (B, T, C)
@group(0) @binding(8) var<storage, read> dafter: array<vec4f>;         // (B, K - 1, C)
@group(0) @binding(9) var<storage, read_write> grads: array<vec4f>;    // dx (B, T, C); dbefore (B, K - 1, C); shares (B P, K + 1, C)

// Which four channels of which steps.
struct Place {
  batch: u32,
  quad: u32,
  span: u32,
  first: u32,
  last: u32,  // one past the last step
}

fn place_of(id: u32) -> Place {
  let rest = id / params.quads;
  let span = rest % params.spans;
  let first = span * SPAN;
  return Place(rest / params.spans, id % params.quads, span, first, min(first + SPAN, params.steps));
}

// Row t - 3 of x; those before the first are the state's.
fn row(b: u32, t: u32, c: u32) -> vec4f {
  if (t >= 3u) {
    return x[(b * params.steps + t - 3u) * params.quads + c];
  }
  if (GIVEN && t + WIDTH >= 4u) {
    return before[(b * (WIDTH - 1u) + t + WIDTH - 4u) * params.quads + c];
  }
  return vec4f(0.0);
}

// What x_(t-m) is multiplied with.
fn tap(m: u32, c: u32) -> vec4f {
  if (m >= WIDTH) {
    return vec4f(0.0);
  }
  let at = 4u * c * WIDTH + WIDTH - 1u - m;
  return vec4f(weight[at], weight[at + WIDTH], weight[at + 2u * WIDTH], weight[at + 3u * WIDTH]);
}

// The sum of products with the taps, newest first. Rows that no tap reaches may be no numbers: they are not looked at.
fn along(start: vec4f, taps: mat4x4f, v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f) -> vec4f {
  var sum = start + taps[0] * v0;
  if (WIDTH > 1u) {
    sum += taps[1] * v1;
  }
  if (WIDTH > 2u) {
    sum += taps[2] * v2;
  }
  if (WIDTH > 3u) {
    sum += taps[3] * v3;
  }
  return sum;
}

fn offset(c: u32) -> vec4f {
  if (BIAS) {
    return bias[c];
  }
  return vec4f(0.0);
}

fn conv_sigmoid(z: vec4f) -> vec4f {
  return 1.0 / (1.0 + exp(min(-z, vec4f(80.0))));
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = place_of((group.x + group.y * groups.x) * 64u + lane);
  let b = at.batch;
  let c = at.quad;
  if (b < params.batch) {
    let taps = mat4x4f(tap(0u, c), tap(1u, c), tap(2u, c), tap(3u, c));
    let start = offset(c);
    var x3 = row(b, at.first, c);
    var x2 = row(b, at.first + 1u, c);
    var x1 = row(b, at.first + 2u, c);
    var out = (b * params.steps + at.first) * params.quads + c;
    for (var t = at.first; t < at.last; t++) {
      let x0 = x[out];
      var z = along(start, taps, x0, x1, x2, x3);
      if (SILU) {
        z *= conv_sigmoid(z);
      }
      y[out] = z;
      out += params.quads;
      x3 = x2;
      x2 = x1;
      x1 = x0;
    }
    if (at.last == params.steps) {
      for (var r = 0u; r + 1u < WIDTH; r++) {
        after[(b * (WIDTH - 1u) + r) * params.quads + c] = row(b, params.steps + 4u - WIDTH + r, c);
      }
    }
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = place_of((group.x + group.y * groups.x) * 64u + lane);
  let b = at.batch;
  let c = at.quad;
  if (b < params.batch) {
    let taps = mat4x4f(tap(0u, c), tap(1u, c), tap(2u, c), tap(3u, c));
    let start = offset(c);
    var x3 = row(b, at.first, c);
    var x2 = row(b, at.first + 1u, c);
    var x1 = row(b, at.first + 2u, c);
    var g3 = vec4f(0.0);
    var g2 = vec4f(0.0);
    var g1 = vec4f(0.0);
    var s0 = vec4f(0.0);
    var s1 = vec4f(0.0);
    var s2 = vec4f(0.0);
    var s3 = vec4f(0.0);
    var sum = vec4f(0.0);
    // Row t - 3 has its gradient when step t is known; the first span also has those before the first row.
    for (var t = at.first; t < at.last + 3u; t++) {
      var g0 = vec4f(0.0);
      var x0 = vec4f(0.0);
      if (t < params.steps && t < at.last + WIDTH - 1u) {
        let from_row = (b * params.steps + t) * params.quads + c;
        x0 = x[from_row];
        g0 = dy[from_row];
        if (SILU) {
          let z = along(start, taps, x0, x1, x2, x3);
          let s = conv_sigmoid(z);
          g0 *= s * (1.0 + z * (1.0 - s));
        }
        if (t < at.last) {
          sum += g0;
          s0 += g0 * x0;
          s1 += g0 * x1;
          s2 += g0 * x2;
          s3 += g0 * x3;
        }
      }
      if (t >= at.first + 3u || (at.span == 0u && t + WIDTH >= 4u)) {
        var d = along(vec4f(0.0), taps, g3, g2, g1, g0);
        if (UPSTREAM && t + WIDTH >= params.steps + 4u) {
          d += dafter[(b * (WIDTH - 1u) + t + WIDTH - params.steps - 4u) * params.quads + c];
        }
        if (t >= 3u) {
          grads[params.dx + (b * params.steps + t - 3u) * params.quads + c] = d;
        } else {
          grads[params.dbefore + (b * (WIDTH - 1u) + t + WIDTH - 4u) * params.quads + c] = d;
        }
      }
      x3 = x2;
      x2 = x1;
      x1 = x0;
      g3 = g2;
      g2 = g1;
      g1 = g0;
    }
    let share = params.shares + (b * params.spans + at.span) * (WIDTH + 1u) * params.quads + c;
    grads[share + (WIDTH - 1u) * params.quads] = s0;
    if (WIDTH > 1u) {
      grads[share + (WIDTH - 2u) * params.quads] = s1;
    }
    if (WIDTH > 2u) {
      grads[share + (WIDTH - 3u) * params.quads] = s2;
    }
    if (WIDTH > 3u) {
      grads[share] = s3;
    }
    grads[share + WIDTH * params.quads] = sum;
  }
}
