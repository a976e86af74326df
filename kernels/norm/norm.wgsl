// Normalisation of rows, with h = (x - mean) * rstd and rstd = 1 / sqrt(variance + eps): y = h * weight + bias, and
// dx = rstd (g - mean(g) - h mean(g h)) with g = dy * weight, dweight = sum(dy h), dbias = sum(dy).
// LayerNorm: a row is the last axis. GroupNorm: a row is a group of channels of a sample, G rows a sample.
// RMSNorm (CENTER false): the mean counts as 0. The variance is summed around running means: E[x^2] - E[x]^2 is wrong by
// a factor of 5 in f32 where the mean is 10,000 times the spread.
// `forwardSum` normalises stream = x + update and stores that too: the residual stream of a Transformer. Its gradient
// comes back through `backward` as dstream, beside dy.
// Shapes: R rows of D elements; a word is one element, or four where D (and the channels of a group) allow vec4f.
// For weight and its gradient the tensor is (N, C, I) with R = N G: C affine words, I positions that share one.
// Where weight or bias have a gradient, `means` leaves what dx needs of each row, and `affine` passes x and dy once for dx and
// for shares of both sums, which `collect` adds up in a fixed order; where not, `backward` is one launch.
// Dispatch: `forward`, `forwardSum`, `backward`, `means` ceil(R / ROWS) workgroups, LANES invocations a row; `affine` one
// invocation for each of the C words of each of P chunks of samples, `collect` one for each of the C words.
// Sources: Ba et al. 2016, https://arxiv.org/abs/1607.06450; Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467;
// Wu and He 2018, https://arxiv.org/abs/1803.08494.

alias word = vec4f;                // or f32
const WIDTH: u32 = 4u;             // elements of a word
override LANES: u32 = 32u;         // invocations a row, a power of two
override ROWS: u32 = 2u;           // rows a workgroup
override CENTER: bool = true;      // false: RMSNorm
override WEIGHT: bool = true;      // without, `weight` is bound but not read
override BIAS: bool = true;        // without, `bias` is bound but not read
override SPREAD: bool = false;     // I > 1
override ADD_WEIGHT: bool = false; // dweight += instead of =
override ADD_BIAS: bool = false;   // dbias += instead of =
override UPDATE: bool = false;     // `forwardSum`: without, `update` is bound but not read
override SKIP: bool = false;       // `backward`, `affine`: without, `dstream` is bound but not read

struct Params {
  rows: u32,       // R
  words: u32,      // words a row
  groups: u32,     // G
  span: u32,       // affine words of a group
  inner: u32,      // I
  samples: u32,    // N
  chunk: u32,      // samples a chunk
  chunks: u32,     // P
  count: f32,      // D
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<word>;              // (R, D)
@group(0) @binding(2) var<storage, read> weight: array<word>;         // (C)
@group(0) @binding(3) var<storage, read> bias: array<word>;           // (C)
@group(0) @binding(4) var<storage, read_write> y: array<word>;        // (R, D)
@group(0) @binding(5) var<storage, read_write> stats: array<vec2f>;   // (R): mean, rstd
@group(0) @binding(6) var<storage, read> rowstats: array<vec2f>;      // (R): stats
@group(0) @binding(7) var<storage, read> dy: array<word>;             // (R, D)
@group(0) @binding(8) var<storage, read_write> dx: array<word>;       // (R, D)
@group(0) @binding(9) var<storage, read_write> shares: array<word>;   // (P, 2, C): of dweight and dbias
@group(0) @binding(10) var<storage, read> parts: array<word>;         // (P, 2, C): shares
@group(0) @binding(11) var<storage, read_write> dweight: array<word>; // (C)
@group(0) @binding(12) var<storage, read_write> dbias: array<word>;   // (C)
@group(0) @binding(13) var<storage, read> update: array<word>;        // (R, D)
@group(0) @binding(14) var<storage, read_write> stream: array<word>;  // (R, D)
@group(0) @binding(15) var<storage, read> dstream: array<word>;       // (R, D)
@group(0) @binding(16) var<storage, read_write> lines: array<vec4f>;  // (R): mean, rstd, mean(g h), mean(g)
@group(0) @binding(17) var<storage, read> rowlines: array<vec4f>;     // (R): lines

// Twice as long as a workgroup, so that two sums in a row need no barrier between them.
var<workgroup> sums: array<f32, LANES * ROWS * 2u>;

fn sum_of(v: word) -> f32 {
  let w = vec4f(v);
  if (WIDTH == 1u) {
    return w.x;
  }
  return (w.x + w.y) + (w.z + w.w);
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

// Affine word of word w of a row.
fn affine_of(row: u32, w: u32) -> u32 {
  if (SPREAD) {
    return row % params.groups * params.span + w / params.inner;
  }
  return row % params.groups * params.span + w;
}

fn input(i: u32) -> word {
  if (UPDATE) {
    return x[i] + update[i];
  }
  return x[i];
}

// Mean and rstd of a row in one pass: each lane keeps, for each component of its words, a mean and the sum of squares
// around it, and merges four words at a time with them (Chan et al. 1979); then the lanes' are merged around the mean of all.
// Every invocation of a workgroup must call it.
fn statistics(lane: u32, first: u32, start: u32, words: u32) -> vec2f {
  var count = 0.0;
  var mean = word(0.0);
  var squares = word(0.0);
  var w = lane;
  for (; w + 3u * LANES < words; w += 4u * LANES) {
    let at = start + w;
    let a = input(at);
    let b = input(at + LANES);
    let c = input(at + 2u * LANES);
    let d = input(at + 3u * LANES);
    if (CENTER) {
      let middle = ((a + b) + (c + d)) * 0.25;
      let share = 4.0 / (count + 4.0);
      let step = middle - mean;
      squares += step * step * (count * share);
      squares += (a - middle) * (a - middle) + (b - middle) * (b - middle);
      squares += (c - middle) * (c - middle) + (d - middle) * (d - middle);
      mean += step * share;
      count += 4.0;
    } else {
      squares += (a * a + b * b) + (c * c + d * d);
    }
  }
  for (; w < words; w += LANES) {
    let v = input(start + w);
    let step = v - mean;
    if (CENTER) {
      count += 1.0;
      mean += step / count;
    }
    squares += step * (v - mean);
  }
  var middle = 0.0;
  if (CENTER) {
    middle = row_sum(sum_of(mean) * count, lane, first) / params.count;
    let step = mean - middle;
    squares += step * step * count;
  }
  let variance = row_sum(sum_of(squares), lane, first + LANES * ROWS) / params.count;
  return vec2f(middle, inverseSqrt(variance + params.eps));
}

fn affine_value(h: word, a: u32) -> word {
  var v = h;
  if (WEIGHT) {
    v *= weight[a];
  }
  if (BIAS) {
    v += bias[a];
  }
  return v;
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
  let s = statistics(lane, local.y * LANES, start, words);
  var w = lane;
  for (; w + 3u * LANES < words; w += 4u * LANES) {
    let at = start + w;
    let a = (input(at) - s.x) * s.y;
    let b = (input(at + LANES) - s.x) * s.y;
    let c = (input(at + 2u * LANES) - s.x) * s.y;
    let d = (input(at + 3u * LANES) - s.x) * s.y;
    y[at] = affine_value(a, affine_of(row, w));
    y[at + LANES] = affine_value(b, affine_of(row, w + LANES));
    y[at + 2u * LANES] = affine_value(c, affine_of(row, w + 2u * LANES));
    y[at + 3u * LANES] = affine_value(d, affine_of(row, w + 3u * LANES));
  }
  for (; w < words; w += LANES) {
    y[start + w] = affine_value((input(start + w) - s.x) * s.y, affine_of(row, w));
  }
  if (lane == 0u && row < params.rows) {
    stats[row] = s;
  }
}

@compute @workgroup_size(LANES, ROWS)
fn forwardSum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let words = select(0u, params.words, row < params.rows);
  let start = row * params.words;
  let s = statistics(lane, local.y * LANES, start, words);
  for (var w = lane; w < words; w += LANES) {
    let v = input(start + w);
    stream[start + w] = v;
    y[start + w] = affine_value((v - s.x) * s.y, affine_of(row, w));
  }
  if (lane == 0u && row < params.rows) {
    stats[row] = s;
  }
}

// What dx needs of a row: mean, rstd, mean(g h), mean(g). Every invocation of a workgroup must call it.
fn line_of(lane: u32, first: u32, row: u32, words: u32) -> vec4f {
  let start = row * params.words;
  let s = rowstats[min(row, params.rows - 1u)];
  var along = word(0.0);
  var sum = word(0.0);
  for (var w = lane; w < words; w += LANES) {
    var g = dy[start + w];
    if (WEIGHT) {
      g *= weight[affine_of(row, w)];
    }
    along += g * (x[start + w] - s.x) * s.y;
    sum += g;
  }
  let slope = row_sum(sum_of(along), lane, first) / params.count;
  var level = 0.0;
  if (CENTER) {
    level = row_sum(sum_of(sum), lane, first + LANES * ROWS) / params.count;
  }
  return vec4f(s, slope, level);
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
  let r = line_of(lane, local.y * LANES, row, words);
  for (var w = lane; w < words; w += LANES) {
    var g = dy[start + w];
    if (WEIGHT) {
      g *= weight[affine_of(row, w)];
    }
    var d = r.y * (g - r.w - (x[start + w] - r.x) * r.y * r.z);
    if (SKIP) {
      d += dstream[start + w];
    }
    dx[start + w] = d;
  }
}

@compute @workgroup_size(LANES, ROWS)
fn means(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = (group.x + group.y * groups.x) * ROWS + local.y;
  let r = line_of(local.x, local.y * LANES, row, select(0u, params.words, row < params.rows));
  if (local.x == 0u && row < params.rows) {
    lines[row] = r;
  }
}

@compute @workgroup_size(LANES, ROWS)
fn affine(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.x + group.y * groups.x) * LANES * ROWS + local;
  let channels = params.groups * params.span;
  let p = i / channels;
  if (p < params.chunks) {
    let c = i % channels;
    var scale = word(1.0);
    if (WEIGHT) {
      scale = weight[c];
    }
    var share_weight = word(0.0);
    var share_bias = word(0.0);
    let last = min((p + 1u) * params.chunk, params.samples);
    for (var n = p * params.chunk; n < last; n++) {
      let r = rowlines[n * params.groups + c / params.span];
      let start = (n * channels + c) * params.inner;
      for (var k = start; k < start + params.inner; k++) {
        let g = dy[k];
        let h = (x[k] - r.x) * r.y;
        share_weight += g * h;
        share_bias += g;
        var d = r.y * (g * scale - r.w - h * r.z);
        if (SKIP) {
          d += dstream[k];
        }
        dx[k] = d;
      }
    }
    shares[p * 2u * channels + c] = share_weight;
    shares[(p * 2u + 1u) * channels + c] = share_bias;
  }
}

fn total_of(c: u32, which: u32) -> word {
  let channels = params.groups * params.span;
  var total = word(0.0);
  for (var p = 0u; p < params.chunks; p++) {
    total += parts[(p * 2u + which) * channels + c];
  }
  return total;
}

fn store_weight(c: u32) {
  var total = total_of(c, 0u);
  if (ADD_WEIGHT) {
    total += dweight[c];
  }
  dweight[c] = total;
}

@compute @workgroup_size(LANES, ROWS)
fn collectWeight(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let c = (group.x + group.y * groups.x) * LANES * ROWS + local;
  if (c < params.groups * params.span) {
    store_weight(c);
  }
}

@compute @workgroup_size(LANES, ROWS)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let c = (group.x + group.y * groups.x) * LANES * ROWS + local;
  if (c < params.groups * params.span) {
    store_weight(c);
    var total = total_of(c, 1u);
    if (ADD_BIAS) {
      total += dbias[c];
    }
    dbias[c] = total;
  }
}
