// Matrix product by tiles in workgroup memory: y = activation(a b + bias), or added to y.
// Shapes: a (M, K) and b (K, N), or stored transposed, of any size. A workgroup makes a tile of y of
// 4 BLOCKS_M HEIGHT x 4 BLOCKS_N WIDTH and goes along K in steps of DEPTH; an invocation holds
// BLOCKS_M x BLOCKS_N blocks of 4 x 4 results in registers.
// Tiles of a and b lie in workgroup memory as vectors of 4 rows of a or 4 columns of b. A row of them has one
// vector more than it needs, so that lanes that write down a column and lanes that read along a row both meet
// every bank once. Neighbouring lanes load neighbouring elements, whichever way an operand is stored.
// Batches: matrix z = (major, minor) of y takes a and b from the steps given, 0 where they are shared.
// Long products of few tiles are split along K: split s writes a y of its own, to be added up by reduce/columns.wgsl.
// Dispatch: x = ceil(M / tile rows) * ceil(N / tile columns), rows of tiles first; z = splits * matrices.
// Source: Goto and van de Geijn, Anatomy of high-performance matrix multiplication, ACM TOMS 34 (2008).

override WIDTH: u32 = 16u;             // invocations of a workgroup along N
override HEIGHT: u32 = 16u;            // and along M
override BLOCKS_M: u32 = 1u;           // 1 or 2
override BLOCKS_N: u32 = 1u;           // 1 or 2
override DEPTH: u32 = 16u;             // elements of K a step
override TRANSPOSE_A: bool = false;    // a is stored (K, M)
override TRANSPOSE_B: bool = false;    // b is stored (N, K)
override BIAS: bool = false;           // add bias to every row
override ACTIVATION: u32 = 0u;         // a number of elementwise/unary.wgsl
override ADD: bool = false;            // y += result

struct Params {
  M: u32,
  N: u32,
  K: u32,
  batch: u32,      // Z, matrices of y
  minor: u32,      // matrices along the minor batch axis
  splits: u32,     // S, parts of K
  chunk: u32,      // elements of K a part
  a_steps: vec2u,  // elements between matrices of a along the major and the minor batch axis
  b_steps: vec2u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;         // (Z, M, K) or (Z, K, M)
@group(0) @binding(2) var<storage, read> b: array<f32>;         // (Z, K, N) or (Z, N, K)
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // (N)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // (S, Z, M, N)

var<workgroup> tile_a: array<vec4f, DEPTH * (HEIGHT * BLOCKS_M + 1u)>;
var<workgroup> tile_b: array<vec4f, DEPTH * (WIDTH * BLOCKS_N + 1u)>;

// exp without overflow, and exactly 0 where the result would be subnormal.
fn safe_exp(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(88.7))), vec4f(0.0), x < vec4f(-87.0));
}

fn sigmoid(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + safe_exp(-x));
}

// By series near 0, where 1 - 2 / (e^2x + 1) cancels; the built-in is NaN from 89 on some devices.
fn safe_tanh(x: vec4f) -> vec4f {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, vec4f(-30.0), vec4f(30.0))) + 1.0);
  return select(whole, series, abs(x) < vec4f(0.1));
}

// Phi(x), the normal distribution function.
fn normal_cdf(x: vec4f) -> vec4f {
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * polynomial * safe_exp(-z * z);
  return select(tail, 1.0 - tail, x > vec4f(0.0));
}

fn gelu_tanh_inner(x: vec4f) -> vec4f {
  let bounded = clamp(x, vec4f(-30.0), vec4f(30.0));
  return safe_tanh(0.7978845608028654 * (bounded + 0.044715 * bounded * bounded * bounded));
}

// The functions of elementwise/unary.wgsl, by their numbers there; 0 is the identity.
fn activate(v: vec4f) -> vec4f {
  switch (ACTIVATION) {
    case 6u: { return safe_tanh(v); }
    case 7u: { return sigmoid(v); }
    case 8u: { return select(v, vec4f(0.0), v < vec4f(0.0)); }
    case 9u: { return select(v * v, vec4f(0.0), v < vec4f(0.0)); }
    case 10u: { return v * normal_cdf(v); }
    case 11u: { return 0.5 * v * (1.0 + gelu_tanh_inner(v)); }
    case 12u: { return v * sigmoid(v); }
    default: { return v; }
  }
}

// Stores one element of y if it is inside the row.
fn put(at: u32, column: u32, value: f32) {
  if (column < params.N) {
    if (ADD) {
      y[at] += value;
    } else {
      y[at] = value;
    }
  }
}

// Finishes four neighbours of a row of y and stores those that are inside it.
fn store(matrix: u32, row: u32, column: u32, sum: vec4f) {
  if (row < params.M) {
    var v = sum;
    if (BIAS) {
      v += vec4f(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
    }
    v = activate(v);
    let at = (matrix * params.M + row) * params.N + column;
    put(at, column, v.x);
    put(at + 1u, column + 1u, v.y);
    put(at + 2u, column + 2u, v.z);
    put(at + 3u, column + 3u, v.w);
  }
}

// Where invocation `lane` of a loading round works: x = which vector of four, y = which k of the tile. Lanes run
// along the axis that is contiguous in memory.
fn place(lane: u32, vectors: u32, along_k: bool) -> vec2u {
  if (along_k) {
    return vec2u(lane / DEPTH, lane % DEPTH);
  }
  return vec2u(lane % vectors, lane / vectors);
}

// Elements m to m + 3 of column k of a; 0 outside.
fn load_a(start: u32, m: u32, k: u32, last: u32) -> vec4f {
  let along = select(params.K, 1u, TRANSPOSE_A);
  let p = start + select(m * params.K + k, k * params.M + m, TRANSPOSE_A);
  let inside = vec4u(m) + vec4u(0u, 1u, 2u, 3u) < vec4u(select(0u, params.M, k < last));
  let v = vec4f(a[p], a[p + along], a[p + 2u * along], a[p + 3u * along]);
  return select(vec4f(), v, inside);
}

// Elements n to n + 3 of row k of b; 0 outside.
fn load_b(start: u32, k: u32, n: u32, last: u32) -> vec4f {
  let along = select(1u, params.K, TRANSPOSE_B);
  let p = start + select(k * params.N + n, n * params.K + k, TRANSPOSE_B);
  let inside = vec4u(n) + vec4u(0u, 1u, 2u, 3u) < vec4u(select(0u, params.N, k < last));
  let v = vec4f(b[p], b[p + along], b[p + 2u * along], b[p + 3u * along]);
  return select(vec4f(), v, inside);
}

// Four rows (in the columns of the matrix) of the product of a column and a row.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}

@compute @workgroup_size(WIDTH, HEIGHT)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let vectors_a = HEIGHT * BLOCKS_M;
  let vectors_b = WIDTH * BLOCKS_N;
  let pitch_a = vectors_a + 1u;
  let pitch_b = vectors_b + 1u;
  let tiles_n = (params.N + 4u * vectors_b - 1u) / (4u * vectors_b);
  let tiles_m = (params.M + 4u * vectors_a - 1u) / (4u * vectors_a);
  let tile = group.x + group.y * groups.x;
  // Uniform in the workgroup, as every bound around a barrier must be.
  let matrices = select(0u, params.batch * params.splits, tile < tiles_m * tiles_n);
  let m = tile / tiles_n * vectors_a * 4u;
  let n = tile % tiles_n * vectors_b * 4u;
  for (var z = group.z; z < matrices; z += groups.z) {
    let major = z % params.batch / params.minor;
    let minor = z % params.batch % params.minor;
    let start_a = major * params.a_steps.x + minor * params.a_steps.y;
    let start_b = major * params.b_steps.x + minor * params.b_steps.y;
    let first = z / params.batch * params.chunk;
    let last = min(first + params.chunk, params.K);
    var c00 = mat4x4f();
    var c01 = mat4x4f();
    var c10 = mat4x4f();
    var c11 = mat4x4f();
    for (var k = first; k < last; k += DEPTH) {
      for (var i = lane; i < DEPTH * vectors_a; i += WIDTH * HEIGHT) {
        let at = place(i, vectors_a, !TRANSPOSE_A);
        tile_a[at.y * pitch_a + at.x] = load_a(start_a, m + 4u * at.x, k + at.y, last);
      }
      for (var i = lane; i < DEPTH * vectors_b; i += WIDTH * HEIGHT) {
        let at = place(i, vectors_b, TRANSPOSE_B);
        tile_b[at.y * pitch_b + at.x] = load_b(start_b, k + at.y, n + 4u * at.x, last);
      }
      workgroupBarrier();
      for (var j = 0u; j < DEPTH; j++) {
        let a0 = tile_a[j * pitch_a + local.y];
        let b0 = tile_b[j * pitch_b + local.x];
        c00 += outer(a0, b0);
        if (BLOCKS_M == 2u) {
          c10 += outer(tile_a[j * pitch_a + HEIGHT + local.y], b0);
        }
        if (BLOCKS_N == 2u) {
          let b1 = tile_b[j * pitch_b + WIDTH + local.x];
          c01 += outer(a0, b1);
          if (BLOCKS_M == 2u) {
            c11 += outer(tile_a[j * pitch_a + HEIGHT + local.y], b1);
          }
        }
      }
      workgroupBarrier();
    }
    // One call in a loop: a copy of the code for each row would take seconds to compile.
    let sums = array<mat4x4f, 4>(c00, c01, c10, c11);
    for (var i = 0u; i < BLOCKS_M * BLOCKS_N * 4u; i++) {
      let part = i / 4u;
      let row = m + 4u * (part / BLOCKS_N * HEIGHT + local.y) + i % 4u;
      let column = n + 4u * (part % BLOCKS_N * WIDTH + local.x);
      store(z, row, column, sums[part / BLOCKS_N * 2u + part % BLOCKS_N][i % 4u]);
    }
  }
}
