// Matrix product by tiles in workgroup memory: y = activation(a b + bias), or added to y.
// Shapes: a (M, K) and b (K, N), or stored transposed, of any size. A workgroup makes a tile of y of
// 4 BLOCKS_M HEIGHT x 4 BLOCKS_N WIDTH and goes along K in steps of DEPTH; an invocation holds
// BLOCKS_M x BLOCKS_N blocks of 4 x 4 results in registers.
// An invocation loads blocks of 4 x 4 as four vectors, whichever way an operand is stored, and leaves them in workgroup
// memory as vectors of 4 rows of a or 4 columns of b, one for each k. Eight lanes that follow each other load blocks side
// by side, so that their stores fill all 32 banks, and the next eight go on along K, so that reads along K find 64 bytes in
// a row; in the products, lanes read neighbouring vectors of b and one of a.
// An operand is read as vectors if its rows, as stored, are multiples of 4; else element by element, through a second
// binding of the same memory. b may hold halves, two to a word.
// Batches: matrix z = (major, minor) of y takes a and b from the steps given, 0 where they are shared.
// Long products of few tiles are split along K: split s writes a y of its own, to be added up by combine.wgsl.
// Dispatch: x = ceil(M / tile rows) * ceil(N / tile columns), rows of tiles first; z = splits * matrices.
// Source: Goto and van de Geijn, Anatomy of high-performance matrix multiplication, ACM TOMS 34 (2008).

alias word_b = vec4u;                  // the bits of four neighbours of b; vec2u where b is stored as halves
const WORDS_B: u32 = 4u;               // u32 in one of these: 2 with halves
override ELEMENTS_A: bool = false;     // read a by elements
override ELEMENTS_B: bool = false;     // and b
override WIDTH: u32 = 16u;             // invocations of a workgroup along N
override HEIGHT: u32 = 16u;            // and along M
override BLOCKS_M: u32 = 1u;           // 1 or 2
override BLOCKS_N: u32 = 1u;           // 1 or 2
override DEPTH: u32 = 16u;             // elements of K a step, a multiple of 4
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
  chunk: u32,      // elements of K a part, a multiple of 4
  a_steps: vec2u,  // elements between matrices of a along the major and the minor batch axis
  b_steps: vec2u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;         // (Z, M, K) or (Z, K, M)
@group(0) @binding(2) var<storage, read> b: array<word_b>;        // (Z, K, N) or (Z, N, K)
@group(0) @binding(3) var<storage, read> bias: array<f32>;        // (N)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;     // (S, Z, M, N)
@group(0) @binding(5) var<storage, read> elements_a: array<f32>;  // as a
@group(0) @binding(6) var<storage, read> elements_b: array<u32>;  // as b

var<workgroup> tile_a: array<vec4f, DEPTH * HEIGHT * BLOCKS_M>;
var<workgroup> tile_b: array<vec4f, DEPTH * WIDTH * BLOCKS_N>;

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

// Four neighbours of b, by the number of their vector.
fn vector_b(p: u32) -> vec4f {
  let bits = b[p];
  if (WORDS_B == 2u) {
    return vec4f(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return bitcast<vec4f>(vec4u(bits.xy, bits[WORDS_B - 2u], bits[WORDS_B - 1u]));
}

// One element of b.
fn element_b(p: u32) -> f32 {
  if (WORDS_B == 2u) {
    let pair = unpack2x16float(elements_b[p / 2u]);
    return select(pair.x, pair.y, p % 2u == 1u);
  }
  return bitcast<f32>(elements_b[p]);
}

// Column k of a, rows m to m + 3, by elements.
fn column_a(start: u32, m: u32, k: u32) -> vec4f {
  let step = select(params.K, 1u, TRANSPOSE_A);
  let p = start + select(m * params.K + k, k * params.M + m, TRANSPOSE_A);
  return vec4f(elements_a[p], elements_a[p + step], elements_a[p + 2u * step], elements_a[p + 3u * step]);
}

// Row k of b, columns n to n + 3, by elements.
fn line_b(start: u32, k: u32, n: u32) -> vec4f {
  let step = select(1u, params.K, TRANSPOSE_B);
  let p = start + select(k * params.N + n, n * params.K + k, TRANSPOSE_B);
  return vec4f(element_b(p), element_b(p + step), element_b(p + 2u * step), element_b(p + 3u * step));
}

// A block with zeros from row `size` of the operand on, and from `last` along K; its first vector is number k there.
fn within(v: mat4x4f, row: u32, size: u32, k: u32, last: u32) -> mat4x4f {
  let inside = vec4u(row) + vec4u(0u, 1u, 2u, 3u) < vec4u(size);
  return mat4x4f(
    select(vec4f(), v[0], inside & vec4<bool>(k < last)),
    select(vec4f(), v[1], inside & vec4<bool>(k + 1u < last)),
    select(vec4f(), v[2], inside & vec4<bool>(k + 2u < last)),
    select(vec4f(), v[3], inside & vec4<bool>(k + 3u < last)),
  );
}

// Rows m to m + 3 of a, columns k to k + 3: a vector for each k.
fn load_a(start: u32, m: u32, k: u32) -> mat4x4f {
  if (ELEMENTS_A) {
    var v = mat4x4f();
    for (var i = 0u; i < 4u; i++) {
      v[i] = column_a(start, m, k + i);
    }
    return v;
  }
  if (TRANSPOSE_A) {
    let step = params.M / 4u;
    let p = (start + m) / 4u + k * step;
    return mat4x4f(a[p], a[p + step], a[p + 2u * step], a[p + 3u * step]);
  }
  let step = params.K / 4u;
  let p = (start + k) / 4u + m * step;
  return transpose(mat4x4f(a[p], a[p + step], a[p + 2u * step], a[p + 3u * step]));
}

// Rows k to k + 3 of b, columns n to n + 3, likewise.
fn load_b(start: u32, k: u32, n: u32) -> mat4x4f {
  if (ELEMENTS_B) {
    var v = mat4x4f();
    for (var i = 0u; i < 4u; i++) {
      v[i] = line_b(start, k + i, n);
    }
    return v;
  }
  if (TRANSPOSE_B) {
    let step = params.K / 4u;
    let p = (start + k) / 4u + n * step;
    return transpose(mat4x4f(vector_b(p), vector_b(p + step), vector_b(p + 2u * step), vector_b(p + 3u * step)));
  }
  let step = params.N / 4u;
  let p = (start + n) / 4u + k * step;
  return mat4x4f(vector_b(p), vector_b(p + step), vector_b(p + 2u * step), vector_b(p + 3u * step));
}

// c + the product of a column and a row, whose four rows are the columns of the matrix.
fn add_outer(c: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(a.x), b, c[0]),
    fma(vec4f(a.y), b, c[1]),
    fma(vec4f(a.z), b, c[2]),
    fma(vec4f(a.w), b, c[3]),
  );
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
  let depth = DEPTH / 4u;
  let blocks_a = vectors_a * depth;
  let blocks = blocks_a + vectors_b * depth;
  let run_a = min(8u, vectors_a);
  let run_b = min(8u, vectors_b);
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
      for (var i = lane; i < blocks; i += WIDTH * HEIGHT) {
        if (i < blocks_a) {
          let at = i / (run_a * depth) * run_a + i % run_a;
          let slice = 4u * (i / run_a % depth);
          let row = m + 4u * at;
          let column = k + slice;
          let v = within(load_a(start_a, row, column), row, params.M, column, last);
          let p = slice * vectors_a + at;
          tile_a[p] = v[0];
          tile_a[p + vectors_a] = v[1];
          tile_a[p + 2u * vectors_a] = v[2];
          tile_a[p + 3u * vectors_a] = v[3];
        } else {
          let j = i - blocks_a;
          let at = j / (run_b * depth) * run_b + j % run_b;
          let slice = 4u * (j / run_b % depth);
          let row = k + slice;
          let column = n + 4u * at;
          let v = within(load_b(start_b, row, column), column, params.N, row, last);
          let p = slice * vectors_b + at;
          tile_b[p] = v[0];
          tile_b[p + vectors_b] = v[1];
          tile_b[p + 2u * vectors_b] = v[2];
          tile_b[p + 3u * vectors_b] = v[3];
        }
      }
      workgroupBarrier();
      for (var j = 0u; j < DEPTH; j++) {
        let a0 = tile_a[j * vectors_a + local.y];
        let b0 = tile_b[j * vectors_b + local.x];
        c00 = add_outer(c00, a0, b0);
        if (BLOCKS_M == 2u) {
          c10 = add_outer(c10, tile_a[j * vectors_a + HEIGHT + local.y], b0);
        }
        if (BLOCKS_N == 2u) {
          let b1 = tile_b[j * vectors_b + WIDTH + local.x];
          c01 = add_outer(c01, a0, b1);
          if (BLOCKS_M == 2u) {
            c11 = add_outer(c11, tile_a[j * vectors_a + HEIGHT + local.y], b1);
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
