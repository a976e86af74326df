// Retention inside a chunk and across its border, for a head that forgets by e^(w_t) a step, W_t the sum of w in the chunk:
//   o_n = sum over m <= n of e^(W_n - W_m) (a_n . b_m) c_m + e^(W_n) a_n S
//   o_n = sum over m >= n of e^(W_m - W_n) (a_n . b_m) c_m + e^(W_last - W_n) a_n S        reversed
// with S what states.wgsl left at the border. Forward is (q, k, v) with the states; dq is (dy, v, k) with their transposes;
// going back, dk is (v, dy, q) with the transposed gradients of the states and dv is (k, q, dy) with these.
// All chunks are independent; memory grows with T / CHUNK states, not with T^2 scores.
// Shapes: as in states.wgsl; A channels of a and b, C of c and o; S is (A, C), or (C, A) if turned.
// Dispatch: a workgroup for 32 channels of a chunk of a head: P B H ceil(C / 32); 64 invocations of 4 by 4.
// Source: as states.wgsl.

const CHUNK: u32 = 32u;            // steps

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  a_size: u32,    // A
  c_size: u32,    // C
  a_heads: u32,   // heads of each
  b_heads: u32,
  c_heads: u32,
  w_sample: u32,  // values from a batch entry's w to the next's, and from a step's: 0 if all have the same
  w_step: u32,
  borders: u32,   // where the borders begin in kept
  reversed: u32,  // 1 for the second form; not knobs, so that four uses are one pipeline
  turned: u32,    // 1 if S is (C, A)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // (B, T, Ga, A)
@group(0) @binding(2) var<storage, read> b: array<f32>;        // (B, T, Gb, A)
@group(0) @binding(3) var<storage, read> c: array<f32>;        // (B, T, Gc, C)
@group(0) @binding(4) var<storage, read> w: array<f32>;        // (B, T, H) or (H)
@group(0) @binding(5) var<storage, read> kept: array<f32>;     // as in states.wgsl
@group(0) @binding(6) var<storage, read_write> o: array<f32>;  // (B, T, H, C)

var<workgroup> tile_a: array<vec4f, 256>;  // 32 steps by 32 channels of a, at channel 8 + step / 4: four steps
var<workgroup> tile_b: array<vec4f, 256>;  // of b likewise; then of S or c, at row 8 + channel / 4: four channels
var<workgroup> scores: array<vec4f, 256>;  // at m 8 + n / 4: four n
var<workgroup> sums: array<f32, CHUNK>;    // W

// What step n still has of the state at the border.
fn retention_reach(n: u32, count: u32) -> f32 {
  if (n >= count) {
    return 0.0;
  }
  return exp(min(select(sums[n], sums[count - 1u] - sums[n], params.reversed == 1u), 80.0));
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let reversed = params.reversed == 1u;
  let across = (params.c_size + 31u) / 32u;
  let place = group.x + group.y * groups.x;
  let chunk = place / across / params.all;
  let head = place / across % params.all;
  let batch = head / params.heads;
  let h = head % params.heads;
  let j = place % across * 32u;
  let first = chunk * CHUNK;
  let count = min(CHUNK, max(params.steps, first) - first);
  let start = batch * params.steps + first;
  let a_row = params.a_heads * params.a_size;
  let b_row = params.b_heads * params.a_size;
  let c_row = params.c_heads * params.c_size;
  let a_at = start * a_row + h / (params.heads / params.a_heads) * params.a_size;
  let b_at = start * b_row + h / (params.heads / params.b_heads) * params.a_size;
  let c_at = start * c_row + h / (params.heads / params.c_heads) * params.c_size + j;
  let state = params.borders + (chunk * params.all + head) * params.a_size * params.c_size;
  let rows = lane / 8u;     // steps 4 rows to 4 rows + 3, n
  let columns = lane % 8u;  // steps m, or channels, four likewise
  if (lane == 0u) {
    var sum = 0.0;
    for (var t = 0u; t < count; t++) {
      sum += w[batch * params.w_sample + (first + t) * params.w_step + h];
      sums[t] = sum;
    }
  }
  // Single vectors, and results that leave through workgroup memory: indexing a matrix takes seconds to compile on some
  // devices. dot_i holds the scores of four n with the i-th m, o_i four channels of the i-th n.
  var dot_0 = vec4f();
  var dot_1 = vec4f();
  var dot_2 = vec4f();
  var dot_3 = vec4f();
  var o_0 = vec4f();
  var o_1 = vec4f();
  var o_2 = vec4f();
  var o_3 = vec4f();
  for (var i = 0u; i < params.a_size; i += 32u) {
    let depth = min(32u, params.a_size - i);
    workgroupBarrier();
    for (var v = lane; v < 256u; v += 64u) {
      let channel = v % 32u;
      var four_a = vec4f();
      var four_b = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let t = v / 32u * 4u + e;
        if (channel < depth && t < count) {
          four_a[e] = a[a_at + t * a_row + i + channel];
          four_b[e] = b[b_at + t * b_row + i + channel];
        }
      }
      tile_a[channel * 8u + v / 32u] = four_a;
      tile_b[channel * 8u + v / 32u] = four_b;
    }
    workgroupBarrier();
    for (var d = 0u; d < depth; d++) {
      let four = tile_a[d * 8u + rows];
      let other = tile_b[d * 8u + columns];
      dot_0 += four * other.x;
      dot_1 += four * other.y;
      dot_2 += four * other.z;
      dot_3 += four * other.w;
    }
    workgroupBarrier();
    for (var v = lane; v < 256u; v += 64u) {
      let d = v / 8u;
      var four = vec4f();
      for (var e = 0u; e < 4u; e++) {
        let channel = v % 8u * 4u + e;
        if (d < depth && j + channel < params.c_size && count > 0u) {
          let straight = (i + d) * params.c_size + j + channel;
          let turned = (j + channel) * params.a_size + i + d;
          four[e] = kept[state + select(straight, turned, params.turned == 1u)];
        }
      }
      tile_b[v] = four;
    }
    workgroupBarrier();
    for (var d = 0u; d < depth; d++) {
      let four = tile_a[d * 8u + rows];
      let other = tile_b[d * 8u + columns];
      o_0 += four.x * other;
      o_1 += four.y * other;
      o_2 += four.z * other;
      o_3 += four.w * other;
    }
  }
  workgroupBarrier();
  let column = columns * 4u * 8u + rows;
  scores[column] = dot_0;
  scores[column + 8u] = dot_1;
  scores[column + 16u] = dot_2;
  scores[column + 24u] = dot_3;
  for (var v = lane; v < 256u; v += 64u) {
    let t = v / 8u;
    var four = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let channel = v % 8u * 4u + e;
      if (t < count && j + channel < params.c_size) {
        four[e] = c[c_at + t * c_row + channel];
      }
    }
    tile_b[v] = four;
  }
  o_0 *= retention_reach(rows * 4u, count);
  o_1 *= retention_reach(rows * 4u + 1u, count);
  o_2 *= retention_reach(rows * 4u + 2u, count);
  o_3 *= retention_reach(rows * 4u + 3u, count);
  workgroupBarrier();
  for (var v = lane; v < 256u; v += 64u) {
    let m = v / 8u;
    let four = scores[v];
    var seen = vec4f();
    for (var e = 0u; e < 4u; e++) {
      let n = v % 8u * 4u + e;
      if (select(m <= n, m >= n, reversed) && max(m, n) < count) {
        let apart = sums[n] - sums[m];
        seen[e] = four[e] * exp(min(select(apart, -apart, reversed), 80.0));
      }
    }
    scores[v] = seen;
  }
  workgroupBarrier();
  for (var m = 0u; m < count; m++) {
    let four = scores[m * 8u + rows];
    let other = tile_b[m * 8u + columns];
    o_0 += four.x * other;
    o_1 += four.y * other;
    o_2 += four.z * other;
    o_3 += four.w * other;
  }
  workgroupBarrier();
  let row = rows * 4u * 8u + columns;
  tile_a[row] = o_0;
  tile_a[row + 8u] = o_1;
  tile_a[row + 16u] = o_2;
  tile_a[row + 24u] = o_3;
  workgroupBarrier();
  for (var v = lane; v < 256u; v += 64u) {
    let n = v / 8u;
    let four = tile_a[v];
    for (var e = 0u; e < 4u; e++) {
      let channel = j + v % 8u * 4u + e;
      if (n < count && channel < params.c_size) {
        o[((start + n) * params.heads + h) * params.c_size + channel] = four[e];
      }
    }
  }
}
