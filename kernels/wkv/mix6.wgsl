// RWKV-6's token shift, whose shares depend on the input: y_n = x + t_n (x' - x) with t_n = q_n + s_n, where x'_t = x_(t-1),
// or what came before the sequence, or 0; q_n is a parameter a channel and s_n comes from a low-rank map.
// Backward: ds_n,t = dy_n,t (x'_t - x_t), which summed over the rows is dq_n;
//   dx_t = sum over n of dy_n,t (1 - t_n,t) + dy_n,t+1 t_n,t+1
// Shapes: B batch, T steps, C channels, R = B T rows, five ways; a word is a channel, or four where C allows vec4f.
// `made` has planes (R, C) at multiples of `plane` words: y_n, and with KEEP t_n and x' - x for backward.
// `grads` holds dx (R, C), then ds (5, R, C) from `slopes` on, then that of the step before the sequence (B, C).
// Dispatch: an invocation a word of (R, C). `forward` makes COUNT ways from `first` on, as many as there are bindings for;
// `backward` takes all five.
// Source: Peng et al. 2024, https://arxiv.org/abs/2404.05892, section 4.1.

alias word = vec4f;             // or f32
override LANES: u32 = 64u;      // invocations a workgroup
override COUNT: u32 = 3u;       // 1 to 3 ways
override GIVEN: bool = false;   // there is a step before the first
override KEEP: bool = false;    // backward will come

const WAYS: u32 = 5u;

struct Params {
  words: u32,    // of a row
  steps: u32,    // T
  rows: u32,     // R
  plane: u32,    // words from a plane of `made` to the next
  first: u32,    // way
  slopes: u32,   // word of grads
  ending: u32,   // word of grads: the step before the sequence
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<word>;            // (B, T, C)
@group(0) @binding(2) var<storage, read> before: array<word>;       // (B, C)
@group(0) @binding(3) var<storage, read> shares: array<word>;       // (5, R, C)
@group(0) @binding(4) var<storage, read> q0: array<word>;           // (C)
@group(0) @binding(5) var<storage, read> q1: array<word>;           // (C)
@group(0) @binding(6) var<storage, read> q2: array<word>;           // (C)
@group(0) @binding(7) var<storage, read_write> made: array<word>;   // (11, R, C); y alone (5, R, C)
@group(0) @binding(8) var<storage, read> kept: array<word>;         // (11, R, C): made
@group(0) @binding(9) var<storage, read> dy0: array<word>;          // (R, C)
@group(0) @binding(10) var<storage, read> dy1: array<word>;         // (R, C)
@group(0) @binding(11) var<storage, read> dy2: array<word>;         // (R, C)
@group(0) @binding(12) var<storage, read> dy3: array<word>;         // (R, C)
@group(0) @binding(13) var<storage, read> dy4: array<word>;         // (R, C)
@group(0) @binding(14) var<storage, read_write> grads: array<word>; // dx (R, C); ds (5, R, C); (B, C)

// One way of word i: y, and what backward needs.
fn mix_way(n: u32, i: u32, q: word, now: word, change: word) {
  let way = params.first + n;
  let share = q + shares[way * params.rows * params.words + i];
  made[way * params.plane + i] = now + share * change;
  if (KEEP) {
    made[(WAYS + way) * params.plane + i] = share;
  }
}

// What the gradients of word i leave to the step before, all ways together.
fn mix_back(i: u32) -> word {
  let at = WAYS * params.plane + i;
  var sum = dy0[i] * kept[at] + dy1[i] * kept[at + params.plane];
  sum += dy2[i] * kept[at + 2u * params.plane] + dy3[i] * kept[at + 3u * params.plane];
  return sum + dy4[i] * kept[at + 4u * params.plane];
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
    var earlier = word(0.0);
    if (row % params.steps > 0u) {
      earlier = x[i - params.words];
    } else if (GIVEN) {
      earlier = before[row / params.steps * params.words + c];
    }
    let change = earlier - now;
    mix_way(0u, i, q0[c], now, change);
    if (COUNT > 1u) {
      mix_way(1u, i, q1[c], now, change);
    }
    if (COUNT > 2u) {
      mix_way(2u, i, q2[c], now, change);
    }
    if (KEEP && params.first == 0u) {
      made[2u * WAYS * params.plane + i] = change;
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
  let size = params.rows * params.words;
  if (i < size) {
    let row = i / params.words;
    let step = row % params.steps;
    let change = kept[2u * WAYS * params.plane + i];
    let back = mix_back(i);
    var moved = -back;
    if (step + 1u < params.steps) {
      moved += mix_back(i + params.words);
    }
    let sum = dy0[i] + dy1[i] + dy2[i] + dy3[i] + dy4[i] + moved;
    grads[i] = sum;
    let slope = params.slopes + i;
    grads[slope] = dy0[i] * change;
    grads[slope + size] = dy1[i] * change;
    grads[slope + 2u * size] = dy2[i] * change;
    grads[slope + 3u * size] = dy3[i] * change;
    grads[slope + 4u * size] = dy4[i] * change;
    if (step == 0u) {
      grads[params.ending + row / params.steps * params.words + i % params.words] = back;
    }
  }
}
