// Softmax y = exp(x - max) / sum(exp(x - max)), or its logarithm y = x - max - log(sum), and their gradients
// dx = y (dy - sum(y dy)), or dx = dy - exp(y) sum(dy).
// An input of -inf is data and gets probability 0; a row of nothing else gives zeros. NaN stays visible in y.
// Shapes: `forward` and `backward` see R contiguous rows of C elements; the `Columns` entries see (O, A, I) and
// normalise over A. A word is one element, or four where C (or I) allows vec4f.
// Dispatch: ceil(R / ROWS) workgroups, LANES invocations a row; `Columns`: ceil(O * I / (LANES * ROWS)), in words.
// The maximum and the sum are kept up to date together (online), so memory is passed twice, not three times, and four words
// at a time, so that their loads overlap and the maximum is looked at once for all of them. The sum is rescaled whether or not
// the maximum rose: one exp for each sixteen costs less than a branch that neighbours take at different times.
// Source: Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867.

alias word = vec4f;            // or f32
const WIDTH: u32 = 4u;         // elements of a word
override LANES: u32 = 32u;     // invocations a row, a power of two
override ROWS: u32 = 2u;       // rows a workgroup
override LOG: bool = false;    // log-softmax

const LOWEST: f32 = -1e30;     // below every logit

struct Params {
  rows: u32,   // R; `Columns`: columns, O * I in words
  words: u32,  // words a row; `Columns`: A
  inner: u32,  // `Columns`: I in words
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<word>;         // (R, C) or (O, A, I)
@group(0) @binding(2) var<storage, read_write> y: array<word>;   // as x
@group(0) @binding(3) var<storage, read> result: array<word>;    // as x: what forward gave
@group(0) @binding(4) var<storage, read> dy: array<word>;        // as x
@group(0) @binding(5) var<storage, read_write> dx: array<word>;  // as x

var<workgroup> maxima: array<f32, LANES * ROWS>;
var<workgroup> sums: array<f32, LANES * ROWS>;

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

// y, from the gap between x and the maximum.
fn outcome(gap: word, scale: f32, shift: f32) -> word {
  if (LOG) {
    return gap - shift;
  }
  return exp_of_gap(gap) * scale;
}

@compute @workgroup_size(LANES, ROWS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let inside = row < params.rows;
  let words = select(0u, params.words, inside);
  let start = row * params.words;
  var highest = LOWEST;
  var sum = word(0.0);
  var w = lane;
  for (; w + 3u * LANES < words; w += 4u * LANES) {
    let at = start + w;
    let a = x[at];
    let b = x[at + LANES];
    let c = x[at + 2u * LANES];
    let d = x[at + 3u * LANES];
    let before = highest;
    highest = max(before, max_of(max(max(a, b), max(c, d))));
    sum *= exp(before - highest); // bounded: never above 0
    sum += (exp_of_gap(a - highest) + exp_of_gap(b - highest)) + (exp_of_gap(c - highest) + exp_of_gap(d - highest));
  }
  for (; w < words; w += LANES) {
    let v = x[start + w];
    let before = highest;
    highest = max(before, max_of(v));
    sum *= exp(before - highest); // bounded: never above 0
    sum += exp_of_gap(v - highest);
  }
  let first = local.y * LANES;
  let top = row_max(highest, lane, first);
  let total = row_sum(sum_of(sum) * exp(highest - top), lane, first); // bounded: never above 0
  let shift = log(max(total, 1.1754944e-38));
  let scale = select(1.0 / total, 0.0, total < 0.5); // the maximum alone gives 1
  w = lane;
  for (; w + 3u * LANES < words; w += 4u * LANES) {
    let at = start + w;
    let a = x[at] - top;
    let b = x[at + LANES] - top;
    let c = x[at + 2u * LANES] - top;
    let d = x[at + 3u * LANES] - top;
    y[at] = outcome(a, scale, shift);
    y[at + LANES] = outcome(b, scale, shift);
    y[at + 2u * LANES] = outcome(c, scale, shift);
    y[at + 3u * LANES] = outcome(d, scale, shift);
  }
  for (; w < words; w += LANES) {
    y[start + w] = outcome(x[start + w] - top, scale, shift);
  }
}

@compute @workgroup_size(LANES, ROWS)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let words = select(0u, params.words, row < params.rows);
  let start = row * params.words;
  var sum = word(0.0);
  for (var w = lane; w < words; w += LANES) {
    if (LOG) {
      sum += dy[start + w];
    } else {
      sum += dy[start + w] * result[start + w];
    }
  }
  let total = row_sum(sum_of(sum), lane, local.y * LANES);
  for (var w = lane; w < words; w += LANES) {
    if (LOG) {
      dx[start + w] = dy[start + w] - exp_of_gap(result[start + w]) * total;
    } else {
      dx[start + w] = result[start + w] * (dy[start + w] - total);
    }
  }
}

@compute @workgroup_size(LANES, ROWS)
fn forwardColumns(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let column = (group.x + group.y * groups.x) * LANES * ROWS + local;
  if (column < params.rows) {
    let start = column / params.inner * params.words * params.inner + column % params.inner;
    let end = start + params.words * params.inner;
    var highest = word(LOWEST);
    var sum = word(0.0);
    for (var i = start; i < end; i += params.inner) {
      let v = x[i];
      let most = max(highest, v);
      if (any(most > highest)) {
        sum *= exp_of_gap(highest - most);
        highest = most;
      }
      sum += exp_of_gap(v - highest);
    }
    let shift = log(max(sum, word(1.1754944e-38)));
    let scale = select(1.0 / sum, word(0.0), sum < word(0.5));
    for (var i = start; i < end; i += params.inner) {
      let v = x[i] - highest;
      if (LOG) {
        y[i] = v - shift;
      } else {
        y[i] = exp_of_gap(v) * scale;
      }
    }
  }
}

@compute @workgroup_size(LANES, ROWS)
fn backwardColumns(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let column = (group.x + group.y * groups.x) * LANES * ROWS + local;
  if (column < params.rows) {
    let start = column / params.inner * params.words * params.inner + column % params.inner;
    let end = start + params.words * params.inner;
    var total = word(0.0);
    for (var i = start; i < end; i += params.inner) {
      if (LOG) {
        total += dy[i];
      } else {
        total += dy[i] * result[i];
      }
    }
    for (var i = start; i < end; i += params.inner) {
      if (LOG) {
        dx[i] = dy[i] - exp_of_gap(result[i]) * total;
      } else {
        dx[i] = result[i] * (dy[i] - total);
      }
    }
  }
}
