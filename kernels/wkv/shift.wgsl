// Token shift: each channel of each step mixed with the step before it, in up to five ways at once, as RWKV's projections
// want it: y_n = x + q_n (x' - x) with x'_t = x_(t-1), where x'_0 is what came before the sequence, or 0. The share q_n of
// the step before is a parameter a channel; versions 4 and 5 store 1 - q_n (KEPT).
//   dx_t = sum_n dy_n,t (1 - q_n) + dy_n,t+1 q_n,  dq_n = sum_t dy_n,t (x'_t - x_t)
// Shapes: B batch, T steps, C channels; a word is a channel, or four where C allows vec4f; R = B T rows; S planes, COUNT of
// them in use, begin at multiples of `plane` words. The last step and then, with KEEP, the shares q_n follow them.
// Dispatch: `forward`, `backward` an invocation a word of (B, T, C); `slopes` one for each of the C words of each of P
// chunks of rows; `collect` one for each word of (COUNT, C), which adds the chunks up in a fixed order.
// Source: Peng et al. 2023, https://arxiv.org/abs/2305.13048, section 3.1.

alias word = vec4f;              // or f32
override LANES: u32 = 64u;       // invocations a workgroup
override COUNT: u32 = 5u;        // 1 to 5 ways
override KEPT: bool = false;     // the parameters are 1 - q
override GIVEN: bool = false;    // there is a step before the first
override KEEP: bool = false;     // backward will come
override ENDING: bool = false;   // the last step has a gradient from what comes after the sequence
override ADD0: bool = false;     // dq += instead of =
override ADD1: bool = false;
override ADD2: bool = false;
override ADD3: bool = false;
override ADD4: bool = false;

struct Params {
  words: u32,   // of a row
  steps: u32,   // T
  rows: u32,    // R
  plane: u32,   // words from a plane to the next; where dbefore begins in dx
  shares: u32,  // word of y at which the shares begin
  chunk: u32,   // rows a chunk
  chunks: u32,  // P
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<word>;            // (B, T, C)
@group(0) @binding(2) var<storage, read> before: array<word>;       // (B, C)
@group(0) @binding(3) var<storage, read> q0: array<word>;           // (C)
@group(0) @binding(4) var<storage, read> q1: array<word>;           // (C)
@group(0) @binding(5) var<storage, read> q2: array<word>;           // (C)
@group(0) @binding(6) var<storage, read> q3: array<word>;           // (C)
@group(0) @binding(7) var<storage, read> q4: array<word>;           // (C)
@group(0) @binding(8) var<storage, read_write> y: array<word>;      // (S, B, T, C); then the last step (B, C); then (S, C)
@group(0) @binding(9) var<storage, read> kept: array<word>;         // (S, B, T, C) and the rest of y
@group(0) @binding(10) var<storage, read> dy0: array<word>;         // (B, T, C)
@group(0) @binding(11) var<storage, read> dy1: array<word>;         // (B, T, C)
@group(0) @binding(12) var<storage, read> dy2: array<word>;         // (B, T, C)
@group(0) @binding(13) var<storage, read> dy3: array<word>;         // (B, T, C)
@group(0) @binding(14) var<storage, read> dy4: array<word>;         // (B, T, C)
@group(0) @binding(15) var<storage, read> dlast: array<word>;       // (B, C)
@group(0) @binding(16) var<storage, read_write> dx: array<word>;    // (B, T, C); dbefore (B, C) at plane
@group(0) @binding(17) var<storage, read_write> sums: array<word>;  // (P, S, C)
@group(0) @binding(18) var<storage, read> parts: array<word>;       // (P, S, C): sums
@group(0) @binding(19) var<storage, read_write> d0: array<word>;     // (C)
@group(0) @binding(20) var<storage, read_write> d1: array<word>;     // (C)
@group(0) @binding(21) var<storage, read_write> d2: array<word>;     // (C)
@group(0) @binding(22) var<storage, read_write> d3: array<word>;     // (C)
@group(0) @binding(23) var<storage, read_write> d4: array<word>;     // (C)

// The step before word i of x.
fn shift_before(i: u32) -> word {
  let row = i / params.words;
  if (row % params.steps > 0u) {
    return x[i - params.words];
  }
  if (GIVEN) {
    return before[row / params.steps * params.words + i % params.words];
  }
  return word(0.0);
}

// Way n of word i.
fn shift_way(n: u32, i: u32, q: word, now: word, change: word) {
  var share = q;
  if (KEPT) {
    share = word(1.0) - q;
  }
  y[n * params.plane + i] = now + share * change;
  if (KEEP && i < params.words) {
    y[params.shares + n * params.words + i] = share;
  }
}

// What the gradients of word i leave to the step before, or what stays, all ways together.
fn shift_back(i: u32, stays: bool) -> word {
  let at = params.shares + i % params.words;
  var sum = dy0[i] * shift_part(at, stays);
  if (COUNT > 1u) {
    sum += dy1[i] * shift_part(at + 1u * params.words, stays);
  }
  if (COUNT > 2u) {
    sum += dy2[i] * shift_part(at + 2u * params.words, stays);
  }
  if (COUNT > 3u) {
    sum += dy3[i] * shift_part(at + 3u * params.words, stays);
  }
  if (COUNT > 4u) {
    sum += dy4[i] * shift_part(at + 4u * params.words, stays);
  }
  return sum;
}

fn shift_part(at: u32, stays: bool) -> word {
  let share = kept[at];
  return select(share, 1.0 - share, stays);
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.rows * params.words) {
    let c = i % params.words;
    let row = i / params.words;
    let now = x[i];
    let change = shift_before(i) - now;
    shift_way(0u, i, q0[c], now, change);
    if (COUNT > 1u) {
      shift_way(1u, i, q1[c], now, change);
    }
    if (COUNT > 2u) {
      shift_way(2u, i, q2[c], now, change);
    }
    if (COUNT > 3u) {
      shift_way(3u, i, q3[c], now, change);
    }
    if (COUNT > 4u) {
      shift_way(4u, i, q4[c], now, change);
    }
    if (row % params.steps + 1u == params.steps) {
      y[COUNT * params.plane + row / params.steps * params.words + c] = now;
    }
  }
}

@compute @workgroup_size(LANES)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + lane;
  if (i < params.rows * params.words) {
    let row = i / params.words;
    let step = row % params.steps;
    var sum = shift_back(i, true);
    let at = row / params.steps * params.words + i % params.words;
    if (step + 1u < params.steps) {
      sum += shift_back(i + params.words, false);
    } else if (ENDING) {
      sum += dlast[at];
    }
    dx[i] = sum;
    if (step == 0u) {
      dx[params.plane + at] = shift_back(i, false);
    }
  }
}

@compute @workgroup_size(LANES)
fn slopes(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let part = id / params.words;
  if (part < params.chunks) {
    let c = id % params.words;
    var sum0 = word(0.0);
    var sum1 = word(0.0);
    var sum2 = word(0.0);
    var sum3 = word(0.0);
    var sum4 = word(0.0);
    for (var row = part * params.chunk; row < min((part + 1u) * params.chunk, params.rows); row++) {
      let i = row * params.words + c;
      let change = shift_before(i) - x[i];
      sum0 += dy0[i] * change;
      if (COUNT > 1u) {
        sum1 += dy1[i] * change;
      }
      if (COUNT > 2u) {
        sum2 += dy2[i] * change;
      }
      if (COUNT > 3u) {
        sum3 += dy3[i] * change;
      }
      if (COUNT > 4u) {
        sum4 += dy4[i] * change;
      }
    }
    let at = part * COUNT * params.words + c;
    sums[at] = sum0;
    if (COUNT > 1u) {
      sums[at + 1u * params.words] = sum1;
    }
    if (COUNT > 2u) {
      sums[at + 2u * params.words] = sum2;
    }
    if (COUNT > 3u) {
      sums[at + 3u * params.words] = sum3;
    }
    if (COUNT > 4u) {
      sums[at + 4u * params.words] = sum4;
    }
  }
}

@compute @workgroup_size(LANES)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let n = id / params.words;
  let c = id % params.words;
  var total = word(0.0);
  for (var part = 0u; part < params.chunks && n < COUNT; part++) {
    total += parts[(part * COUNT + n) * params.words + c];
  }
  if (KEPT) {
    total = -total;
  }
  if (n == 0u) {
    if (ADD0) {
      total += d0[c];
    }
    d0[c] = total;
  }
  if (n == 1u && COUNT > 1u) {
    if (ADD1) {
      total += d1[c];
    }
    d1[c] = total;
  }
  if (n == 2u && COUNT > 2u) {
    if (ADD2) {
      total += d2[c];
    }
    d2[c] = total;
  }
  if (n == 3u && COUNT > 3u) {
    if (ADD3) {
      total += d3[c];
    }
    d3[c] = total;
  }
  if (n == 4u && COUNT > 4u) {
    if (ADD4) {
      total += d4[c];
    }
    d4[c] = total;
  }
}
