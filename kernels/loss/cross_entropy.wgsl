// Cross-entropy of logits x and target class t, with class weights w and label smoothing e:
// loss = (1 - e) w_t (lse - x_t) + (e / V) sum_j w_j (lse - x_j), lse = max + log(sum(exp(x - max))), and
// dx_k = dy (p_k ((1 - e) w_t + (e / V) sum_j w_j) - (1 - e) w_t [k = t] - (e / V) w_k), p_k = exp(x_k - max) / sum.
// The logarithm of a probability is never taken, so a loss of 200 is 200; max and sum are kept apart, so that p
// stays exact beside logits of thousands. Rows whose target is `ignored` count for nothing. A target outside
// [0, V) makes its loss and gradient NaN, which a trainer reports, where a silent skip would hide a broken corpus.
// Shapes: N rows of V classes. A word is one class, or four where V allows vec4f. `backward` is for such V; `backwardFlat`
// is elementwise over vectors of 4 whatever V is (storage is padded to 16 bytes).
// Dispatch: `forward`, `backward` ceil(N / ROWS) workgroups, LANES invocations a row; `backwardFlat` ceil(N * V / 4 / LANES).
// Source: PyTorch's CrossEntropyLoss; the online sum is Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867.

alias word = vec4f;               // or f32
const WIDTH: u32 = 4u;            // elements of a word
override LANES: u32 = 32u;        // invocations a row, a power of two
override ROWS: u32 = 2u;          // rows a workgroup
override SMOOTH: bool = false;    // label smoothing
override WEIGHTED: bool = false;  // class weights; without, `weights` is bound but not read
override EACH: bool = false;      // `backward`, `backwardFlat`: dy has a gradient a row

const LOWEST: f32 = -1e30;        // below every logit

struct Params {
  rows: u32,       // N
  words: u32,      // words a row; `backwardFlat`: vectors of all logits
  classes: u32,    // V
  ignored: i32,    // target of rows that do not count
  smoothing: f32,  // e
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<word>;          // (N, V)
@group(0) @binding(2) var<storage, read> targets: array<i32>;          // (N)
@group(0) @binding(3) var<storage, read> weights: array<f32>;          // (V)
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;     // (N)
@group(0) @binding(5) var<storage, read_write> stats: array<vec4f>;    // (N): max, 1 / sum, factor of p, w_t
@group(0) @binding(6) var<storage, read> scores: array<vec4f>;         // (N, V): logits as vectors
@group(0) @binding(7) var<storage, read> rowstats: array<vec4f>;       // (N): stats
@group(0) @binding(8) var<storage, read> dy: array<f32>;               // (1), or (N) if EACH
@group(0) @binding(9) var<storage, read> divisor: array<f32>;          // (1): dy is multiplied by it
@group(0) @binding(10) var<storage, read_write> dx: array<vec4f>;      // (N, V)

var<workgroup> maxima: array<f32, LANES * ROWS>;
var<workgroup> sums: array<f32, LANES * ROWS>;
var<workgroup> shares: array<vec2f, LANES * ROWS>;

// exp of a difference to a maximum: next to 0 far below it, also at -inf. No clamp, which would turn NaN into a number.
fn exp_of_gap(v: word) -> word {
  return exp(v); // bounded: v <= 0
}

fn max_of(v: word) -> f32 {
  let w = vec4f(v);
  return max(max(w.x, w.y), max(w.z, w.w));
}

fn sum_of(v: word) -> f32 {
  let w = vec4f(v);
  if (WIDTH == 1u) {
    return w.x;
  }
  return (w.x + w.y) + (w.z + w.w);
}

// Made from a number of the run, because constants may not be NaN.
fn not_a_number(seed: u32) -> f32 {
  return bitcast<f32>(0x7fc00000u | (seed & 0xffffu));
}

// Reductions over the lanes of a row: halving while many lanes are left, then each lane reads the rest, which
// costs fewer barriers. `first` is where the row's lanes start.
fn row_max(value: f32, lane: u32, first: u32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  maxima[first + lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half >= 16u; half /= 2u) {
    if (lane < half) {
      maxima[first + lane] = max(maxima[first + lane], maxima[first + lane + half]);
    }
    workgroupBarrier();
  }
  var top = maxima[first];
  for (var i = 1u; i < min(LANES, 16u); i++) {
    top = max(top, maxima[first + i]);
  }
  return top;
}

fn row_sum(value: f32, lane: u32, first: u32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  sums[first + lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half >= 16u; half /= 2u) {
    if (lane < half) {
      sums[first + lane] += sums[first + lane + half];
    }
    workgroupBarrier();
  }
  var total = sums[first];
  for (var i = 1u; i < min(LANES, 16u); i++) {
    total += sums[first + i];
  }
  return total;
}

// Sums of w (x - base) and of w over the row: what smoothing spreads over all classes.
fn row_shares(base: f32, start: u32, words: u32, lane: u32, first: u32) -> vec2f {
  var share = vec2f(0.0);
  for (var w = lane; w < words; w += LANES) {
    let v = vec4f(logits[start + w]);
    for (var k = 0u; k < WIDTH; k++) {
      var weight = 1.0;
      if (WEIGHTED) {
        weight = weights[w * WIDTH + k];
      }
      share += vec2f(weight * (v[k] - base), weight);
    }
  }
  shares[first + lane] = share;
  workgroupBarrier();
  var total = vec2f(0.0);
  for (var i = 0u; i < LANES; i++) {
    total += shares[first + i];
  }
  return total;
}

@compute @workgroup_size(LANES, ROWS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let words = select(0u, params.words, row < params.rows);
  let start = row * params.words;
  var highest = LOWEST;
  var sum = word(0.0);
  var w = lane;
  for (; w + 3u * LANES < words; w += 4u * LANES) {
    let at = start + w;
    let a = logits[at];
    let b = logits[at + LANES];
    let c = logits[at + 2u * LANES];
    let d = logits[at + 3u * LANES];
    let before = highest;
    highest = max(before, max_of(max(max(a, b), max(c, d))));
    sum *= exp(before - highest); // bounded: never above 0
    sum += (exp_of_gap(a - highest) + exp_of_gap(b - highest)) + (exp_of_gap(c - highest) + exp_of_gap(d - highest));
  }
  for (; w < words; w += LANES) {
    let v = logits[start + w];
    let before = highest;
    highest = max(before, max_of(v));
    sum *= exp(before - highest); // bounded: never above 0
    sum += exp_of_gap(v - highest);
  }
  let first = local.y * LANES;
  let top = row_max(highest, lane, first);
  let total = row_sum(sum_of(sum) * exp(highest - top), lane, first); // bounded: never above 0
  var share = vec2f(0.0);
  if (SMOOTH) {
    share = row_shares(top, start, words, lane, first);
  }
  if (lane == 0u && row < params.rows) {
    let target_class = targets[row];
    let known = target_class >= 0 && target_class < i32(params.classes);
    let counts = target_class != params.ignored;
    let at = u32(select(0, target_class, known));
    var weight = 1.0;
    if (WEIGHTED) {
      weight = weights[at];
    }
    let spread = params.smoothing / f32(params.classes);
    let shift = log(max(total, 1.1754944e-38));
    let logit = vec4f(logits[start + at / WIDTH])[at % WIDTH];
    var loss = (1.0 - params.smoothing) * weight * ((top - logit) + shift);
    var factor = (1.0 - params.smoothing) * weight;
    if (SMOOTH) {
      loss += spread * (share.y * shift - share.x);
      factor += spread * share.y;
    }
    if (!known) {
      loss = not_a_number(row);
      factor = not_a_number(row);
    }
    losses[row] = select(0.0, loss, counts);
    stats[row] = select(vec4f(top, 1.0 / total, 0.0, 0.0), vec4f(top, 1.0 / total, factor, weight), counts);
  }
}

// exp of a difference to a maximum, of four.
fn exp_of_gaps(v: vec4f) -> vec4f {
  return exp(v); // bounded: v <= 0
}

@compute @workgroup_size(LANES, ROWS)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  if (row < params.rows) {
    let start = row * params.words;
    let s = rowstats[row];
    let target_class = targets[row];
    let counts = target_class != params.ignored;
    var scale = dy[0] * divisor[0];
    if (EACH) {
      scale = dy[row];
    }
    let factor = s.y * s.z * scale;
    let spread = params.smoothing / f32(params.classes) * scale;
    for (var w = local.x; w < params.words; w += LANES) {
      var gradient = exp_of_gaps(scores[start + w] - s.x) * factor;
      if (SMOOTH) {
        var weight = vec4f(1.0);
        if (WEIGHTED) {
          weight = vec4f(weights[w * 4u], weights[w * 4u + 1u], weights[w * 4u + 2u], weights[w * 4u + 3u]);
        }
        gradient -= spread * weight;
      }
      dx[start + w] = select(vec4f(0.0), gradient, counts);
    }
    // The invocation that wrote the target's class takes its share off again.
    let at = u32(max(target_class, 0));
    if (counts && target_class >= 0 && at < params.classes && at / 4u % LANES == local.x) {
      let share = (1.0 - params.smoothing) * s.w * scale;
      dx[start + at / 4u] -= select(vec4f(0.0), vec4f(share), vec4u(0u, 1u, 2u, 3u) == vec4u(at % 4u));
    }
  }
}

@compute @workgroup_size(LANES)
fn backwardFlat(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES + local;
  if (i < params.words) {
    let element = vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u);
    let V = params.classes;
    // The last vector may end past the last row.
    let row = min(vec4u(element.x / V, element.y / V, element.z / V, element.w / V), vec4u(params.rows - 1u));
    let class_index = element - row * V;
    let s0 = rowstats[row.x];
    let s1 = rowstats[row.y];
    let s2 = rowstats[row.z];
    let s3 = rowstats[row.w];
    let wanted = vec4i(targets[row.x], targets[row.y], targets[row.z], targets[row.w]);
    let p = exp_of_gaps(scores[i] - vec4f(s0.x, s1.x, s2.x, s3.x)) * vec4f(s0.y, s1.y, s2.y, s3.y);
    let target_weight = vec4f(s0.w, s1.w, s2.w, s3.w);
    var gradient = p * vec4f(s0.z, s1.z, s2.z, s3.z);
    gradient -= select(vec4f(0.0), (1.0 - params.smoothing) * target_weight, vec4i(class_index) == wanted);
    if (SMOOTH) {
      var weight = vec4f(1.0);
      if (WEIGHTED) {
        weight = vec4f(weights[class_index.x], weights[class_index.y], weights[class_index.z], weights[class_index.w]);
      }
      gradient -= params.smoothing / f32(V) * weight;
    }
    var scale = vec4f(dy[0] * divisor[0]);
    if (EACH) {
      scale = vec4f(dy[row.x], dy[row.y], dy[row.z], dy[row.w]);
    }
    dx[i] = select(vec4f(0.0), gradient * scale, wanted != vec4i(params.ignored));
  }
}
