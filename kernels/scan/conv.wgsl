// Causal depthwise convolution: z_t[c] = bias[c] + sum_j weight[c, j] x_(t-K+1+j)[c], y = z or silu(z).
// Rows before the first are those of `before`, or zeros; `after` gets the last K - 1, for the steps that follow.
// Backward, with g = dy y'(z):  dx_t = sum_j weight[j] g_(t+K-1-j),  dweight[j] = sum g_t x_(t-K+1+j),  dbias = sum g_t.
// It computes z again and keeps K of x and of g in registers while it walks over SPAN steps and the K - 1 after them.
// conv_quads.wgsl does the same for C a multiple of 4 and K of at most 4, and shares `collect`.
// Shapes: B batch, T steps, C channels, K width, P = ceil(T / SPAN). A state is (B, K - 1, C).
// Dispatch: `forward` an invocation for each of B (T + K - 1) C values of y and after; `backward` one for SPAN steps of a
// channel, B P C; `collect` one for each of (K + 1) C sums over the shares, in a fixed order. 64 invocations a workgroup.
// Source: Gu and Dao 2023, https://arxiv.org/abs/2312.00752, section 3.4.

const WIDTH: u32 = 4u;             // K
const SPAN: u32 = 16u;             // steps of an invocation of backward
override SILU: bool = false;
override GIVEN: bool = false;      // there is a state before the first step
override UPSTREAM: bool = false;   // the last state has a gradient
override BIAS: bool = false;
override ADD_WEIGHT: bool = false; // dweight += instead of =
override ADD_BIAS: bool = false;

struct Params {
  batch: u32,     // B
  steps: u32,     // T
  channels: u32,  // C
  spans: u32,     // P
  dx: u32,        // where each of these begins in grads
  dbefore: u32,
  shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // (B, T, C)
@group(0) @binding(2) var<storage, read> weight: array<f32>;         // (C, K)
@group(0) @binding(3) var<storage, read> bias: array<f32>;           // (C)
@group(0) @binding(4) var<storage, read> before: array<f32>;         // (B, K - 1, C)
@group(0) @binding(5) var<storage, read_write> y: array<f32>;        // (B, T, C)
@group(0) @binding(6) var<storage, read_write> after: array<f32>;    // (B, K - 1, C)
@group(0) @binding(7) var<storage, read> dy: array<f32>;             // (B, T, C)
@group(0) @binding(8) var<storage, read> dafter: array<f32>;         // (B, K - 1, C)
@group(0) @binding(9) var<storage, read_write> grads: array<f32>;    // dx (B, T, C); dbefore (B, K - 1, C); shares (B P, K + 1, C)
@group(0) @binding(10) var<storage, read> parts: array<f32>;         // grads (all of it)
@group(0) @binding(11) var<storage, read_write> dweight: array<f32>; // (C, K)
@group(0) @binding(12) var<storage, read_write> dbias: array<f32>;   // (C)

// Row t of x, counted from the K - 1 rows before the first.
fn conv_row(b: u32, t: u32, c: u32) -> f32 {
  if (t >= WIDTH - 1u) {
    return x[(b * params.steps + t - (WIDTH - 1u)) * params.channels + c];
  }
  if (GIVEN) {
    return before[(b * (WIDTH - 1u) + t) * params.channels + c];
  }
  return 0.0;
}

fn conv_offset(c: u32) -> f32 {
  if (BIAS) {
    return bias[c];
  }
  return 0.0;
}

fn conv_sigmoid(z: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-z, 80.0)));
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let rows = params.steps + WIDTH - 1u;
  let c = id % params.channels;
  let t = id / params.channels % rows;
  let b = id / params.channels / rows;
  if (b < params.batch) {
    if (t >= params.steps) {
      after[(b * (WIDTH - 1u) + t - params.steps) * params.channels + c] = conv_row(b, t, c);
    } else {
      var z = conv_offset(c);
      for (var j = 0u; j < WIDTH; j++) {
        z += weight[c * WIDTH + j] * conv_row(b, t + j, c);
      }
      y[(b * params.steps + t) * params.channels + c] = select(z, z * conv_sigmoid(z), SILU);
    }
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let c = id % params.channels;
  let span = id / params.channels % params.spans;
  let b = id / params.channels / params.spans;
  if (b < params.batch) {
    var w = array<f32, WIDTH>();
    var xs = array<f32, WIDTH>();     // rows t to t + K - 1 of x with those before the first
    var gs = array<f32, WIDTH>();     // g of steps t - K + 1 to t
    var sums = array<f32, WIDTH>();
    var sum = 0.0;
    let first = span * SPAN;
    let last = min(first + SPAN, params.steps);
    for (var j = 0u; j < WIDTH; j++) {
      w[j] = weight[c * WIDTH + j];
      if (j + 1u < WIDTH) {
        xs[j + 1u] = conv_row(b, first + j, c);
      }
    }
    // The rows before the first have gradients too: the first span writes them.
    for (var t = first; t < last + WIDTH - 1u; t++) {
      for (var j = 0u; j + 1u < WIDTH; j++) {
        xs[j] = xs[j + 1u];
        gs[j] = gs[j + 1u];
      }
      xs[WIDTH - 1u] = 0.0;
      gs[WIDTH - 1u] = 0.0;
      if (t < params.steps) {
        xs[WIDTH - 1u] = conv_row(b, t + WIDTH - 1u, c);
        var z = conv_offset(c);
        for (var j = 0u; j < WIDTH; j++) {
          z += w[j] * xs[j];
        }
        let s = conv_sigmoid(z);
        let g = dy[(b * params.steps + t) * params.channels + c] * select(1.0, s * (1.0 + z * (1.0 - s)), SILU);
        gs[WIDTH - 1u] = g;
        if (t < last) {
          sum += g;
          for (var j = 0u; j < WIDTH; j++) {
            sums[j] += g * xs[j];
          }
        }
      }
      // Row t, counted from the rows before the first, is now known; it is one of this span from K - 1 steps on.
      if (t >= first + WIDTH - 1u || span == 0u) {
        var d = 0.0;
        for (var j = 0u; j < WIDTH; j++) {
          d += w[j] * gs[WIDTH - 1u - j];
        }
        if (UPSTREAM && t >= params.steps) {
          d += dafter[(b * (WIDTH - 1u) + t - params.steps) * params.channels + c];
        }
        if (t >= WIDTH - 1u) {
          grads[params.dx + (b * params.steps + t - (WIDTH - 1u)) * params.channels + c] = d;
        } else {
          grads[params.dbefore + (b * (WIDTH - 1u) + t) * params.channels + c] = d;
        }
      }
    }
    let share = params.shares + (b * params.spans + span) * (WIDTH + 1u) * params.channels + c;
    for (var j = 0u; j < WIDTH; j++) {
      grads[share + j * params.channels] = sums[j];
    }
    grads[share + WIDTH * params.channels] = sum;
  }
}

@compute @workgroup_size(64)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * 64u + lane;
  let all = (WIDTH + 1u) * params.channels;
  let c = id % params.channels;
  let j = id / params.channels;
  if (id < all) {
    var total = 0.0;
    for (var m = 0u; m < params.batch * params.spans; m++) {
      total += parts[params.shares + m * all + id];
    }
    if (j < WIDTH) {
      if (ADD_WEIGHT) {
        total += dweight[c * WIDTH + j];
      }
      dweight[c * WIDTH + j] = total;
    } else if (BIAS) {
      if (ADD_BIAS) {
        total += dbias[c];
      }
      dbias[c] = total;
    }
  }
}
