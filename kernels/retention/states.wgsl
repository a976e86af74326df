// What a head remembers at the borders of chunks of CHUNK steps, when it forgets by e^(w_t) a step:
//   S_t = e^(w_t) S_(t-1) + x_t^T y_t                       forward, x = k and y = v
//   G_(t-1) = e^(w_t) (G_t + x_t^T y_t)                     reversed, x = q and y = dy: gradients of the states
// A chunk is one product of matrices: with W_t the sum of w inside the chunk, step t weighs e^(W_last - W_t), or e^(W_t)
// going back. All exponents are at most 0 for w <= 0. borders[c] is the state before chunk c, going back the gradient of
// the state after it; `final` gets what is left beyond the last one.
// Shapes: B batch, T steps, H heads, X and Y channels of x and y, Gx and Gy heads of these (H / Gx share one), P = ceil(T / CHUNK).
// Dispatch: a workgroup for a tile of 32 by 32 channels of a head: B H ceil(X / 32) ceil(Y / 32); 64 invocations of 4 by 4.
// Source: Sun et al. 2023, https://arxiv.org/abs/2307.08621, equation 7; Dao and Gu 2024, https://arxiv.org/abs/2405.21060.

const CHUNK: u32 = 32u;            // steps

struct Params {
  steps: u32,     // T
  heads: u32,     // H
  all: u32,       // B H
  x_size: u32,    // X
  y_size: u32,    // Y
  x_heads: u32,   // Gx
  y_heads: u32,   // Gy
  w_sample: u32,  // values from a batch entry's w to the next's, and from a step's: 0 if all have the same
  w_step: u32,
  borders: u32,   // where the borders begin in kept; the final state is at 0
  given: u32,     // 1 if there is a state before the first step, or a gradient of the last
  reversed: u32,  // 1 to go from the last step to the first; not a knob, so that both uses are one pipeline
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // (B, T, Gx, X)
@group(0) @binding(2) var<storage, read> y: array<f32>;           // (B, T, Gy, Y)
@group(0) @binding(3) var<storage, read> w: array<f32>;           // (B, T, H) or (H)
@group(0) @binding(4) var<storage, read> given: array<f32>;       // (B, H, X, Y)
@group(0) @binding(5) var<storage, read_write> kept: array<f32>;  // final (B, H, X, Y); borders (P, B, H, X, Y)

var<workgroup> tile_x: array<vec4f, 256>;  // (CHUNK, 8), weighted
var<workgroup> tile_y: array<vec4f, 256>;
var<workgroup> sums: array<f32, CHUNK>;    // W

// Where an invocation's four by four of a state lie, and how many of them there are.
struct Corner {
  start: u32,
  rows: u32,
  columns: u32,
}

fn retention_corner(matrix: u32, row: u32, column: u32) -> Corner {
  let rows = max(params.x_size, row) - row;
  let columns = max(params.y_size, column) - column;
  return Corner(matrix + row * params.y_size + column, rows, columns);
}

fn retention_load(at: Corner, row: u32) -> vec4f {
  var four = vec4f();
  for (var c = 0u; c < 4u; c++) {
    if (row < at.rows && c < at.columns) {
      four[c] = given[at.start + row * params.y_size + c];
    }
  }
  return four;
}

fn retention_store(base: u32, at: Corner, row: u32, four: vec4f) {
  for (var c = 0u; c < 4u; c++) {
    if (row < at.rows && c < at.columns) {
      kept[base + at.start + row * params.y_size + c] = four[c];
    }
  }
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let reversed = params.reversed == 1u;
  let across = (params.y_size + 31u) / 32u;
  let tiles = (params.x_size + 31u) / 32u * across;
  let place = group.x + group.y * groups.x;
  let head = place / tiles;
  let live = head < params.all;
  let b = head / params.heads;
  let h = head % params.heads;
  let i = place % tiles / across * 32u;
  let j = place % across * 32u;
  let row = i + lane / 8u * 4u;
  let column = j + lane % 8u * 4u;
  let matrix = head * params.x_size * params.y_size;
  let x_row = params.x_heads * params.x_size;
  let y_row = params.y_heads * params.y_size;
  let x_at = b * params.steps * x_row + h / (params.heads / params.x_heads) * params.x_size + i;
  let y_at = b * params.steps * y_row + h / (params.heads / params.y_heads) * params.y_size + j;
  // Single vectors, because indexing a matrix takes seconds to compile on some devices: s_i is row i of the tile's four.
  let at = retention_corner(matrix, row, column);
  var s_0 = vec4f();
  var s_1 = vec4f();
  var s_2 = vec4f();
  var s_3 = vec4f();
  if (params.given == 1u && live) {
    s_0 = retention_load(at, 0u);
    s_1 = retention_load(at, 1u);
    s_2 = retention_load(at, 2u);
    s_3 = retention_load(at, 3u);
  }
  let chunks = (params.steps + CHUNK - 1u) / CHUNK;
  for (var n = 0u; n < chunks; n++) {
    let chunk = select(n, chunks - 1u - n, reversed);
    let first = chunk * CHUNK;
    let count = min(CHUNK, params.steps - first);
    if (lane == 0u && live) {
      var sum = 0.0;
      for (var t = 0u; t < count; t++) {
        sum += w[b * params.w_sample + (first + t) * params.w_step + h];
        sums[t] = sum;
      }
    }
    workgroupBarrier();
    let last = sums[count - 1u];
    for (var v = lane; v < 256u; v += 64u) {
      let t = v / 8u;
      let c = v % 8u * 4u;
      var xs = vec4f();
      var ys = vec4f();
      if (t < count && live) {
        let weight = exp(min(select(last - sums[t], sums[t], reversed), 80.0));
        for (var e = 0u; e < 4u; e++) {
          if (i + c + e < params.x_size) {
            xs[e] = weight * x[x_at + (first + t) * x_row + c + e];
          }
          if (j + c + e < params.y_size) {
            ys[e] = y[y_at + (first + t) * y_row + c + e];
          }
        }
      }
      tile_x[v] = xs;
      tile_y[v] = ys;
    }
    if (live) {
      let border = params.borders + chunk * params.all * params.x_size * params.y_size;
      retention_store(border, at, 0u, s_0);
      retention_store(border, at, 1u, s_1);
      retention_store(border, at, 2u, s_2);
      retention_store(border, at, 3u, s_3);
    }
    workgroupBarrier();
    let faded = exp(min(last, 80.0));
    s_0 *= faded;
    s_1 *= faded;
    s_2 *= faded;
    s_3 *= faded;
    for (var t = 0u; t < count; t++) {
      let xs = tile_x[t * 8u + lane / 8u];
      let ys = tile_y[t * 8u + lane % 8u];
      s_0 += xs.x * ys;
      s_1 += xs.y * ys;
      s_2 += xs.z * ys;
      s_3 += xs.w * ys;
    }
    workgroupBarrier();
  }
  if (live) {
    retention_store(0u, at, 0u, s_0);
    retention_store(0u, at, 1u, s_1);
    retention_store(0u, at, 2u, s_2);
    retention_store(0u, at, 3u, s_3);
  }
}
