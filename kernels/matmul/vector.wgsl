// Product of one to four rows with a matrix: y = activation(a b + bias), or added to y. What decoding one token does.
// Shapes: a (M, K), M <= 4; b (K, N), or stored transposed (N, K), the layout of a linear layer's weight.
// A workgroup makes 4 WIDTH columns; its invocations are WIDTH vectors of 4 columns times SLICES parts of K, which
// are added up in workgroup memory; one slice needs neither memory nor barrier. Every element of b is read once,
// by lanes that run along memory.
// Needs K to be a multiple of 4, and N too unless b is stored (N, K). b may hold halves, two to a word.
// Batches: matrix z = (major, minor) of y takes a and b from the steps given, 0 where they are shared.
// Dispatch: x = ceil(N / (4 WIDTH)) blocks of columns; z = matrices.

alias word_b = vec4u;                  // the bits of four neighbours of b; vec2u where b is stored as halves
const WORDS_B: u32 = 4u;               // u32 in one of these: 2 with halves
override ROWS: u32 = 1u;               // M
override WIDTH: u32 = 4u;              // vectors of 4 columns a workgroup
override SLICES: u32 = 16u;            // invocations that share a column
override LANES: u32 = 64u;             // WIDTH * SLICES
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
  a_steps: vec2u,  // elements between matrices of a along the major and the minor batch axis
  b_steps: vec2u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;       // (Z, M, K)
@group(0) @binding(2) var<storage, read> b: array<word_b>;      // (Z, K, N) or (Z, N, K)
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // (N)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // (Z, M, N)

var<workgroup> partial: array<vec4f, ROWS * LANES>;

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

// Rows k to k + 3 of b, columns n to n + 3; a matrix holds a row in each of its columns. Columns past the end repeat.
fn load_rows(start: u32, k: u32, n: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    let step = params.K / 4u;
    let p = start + k / 4u;
    let last = params.N - 1u;
    return transpose(mat4x4f(
      vector_b(p + min(n, last) * step),
      vector_b(p + min(n + 1u, last) * step),
      vector_b(p + min(n + 2u, last) * step),
      vector_b(p + min(n + 3u, last) * step),
    ));
  }
  let step = params.N / 4u;
  let p = start + k * step + min(n, params.N - 4u) / 4u;
  return mat4x4f(vector_b(p), vector_b(p + step), vector_b(p + 2u * step), vector_b(p + 3u * step));
}

// c + (four elements of a row of a) times (four rows of b). An emulation's fma is slower than both of its steps.
fn multiply(c: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return c + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.x + group.y * groups.x) * 4u * WIDTH;
  // Uniform in the workgroup, as every bound around a barrier must be.
  let matrices = select(0u, params.batch, first < params.N);
  // Lanes run along K where b is stored (N, K), else along N.
  let vector = select(lane % WIDTH, lane / SLICES, TRANSPOSE_B);
  let slice = select(lane / WIDTH, lane % SLICES, TRANSPOSE_B);
  let n = first + 4u * vector;
  let step = params.K / 4u;
  for (var z = group.z; z < matrices; z += groups.z) {
    let major = z / params.minor;
    let minor = z % params.minor;
    let start_a = (major * params.a_steps.x + minor * params.a_steps.y) / 4u;
    let start_b = (major * params.b_steps.x + minor * params.b_steps.y) / 4u;
    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    for (var k = slice; k < step; k += SLICES) {
      let right = load_rows(start_b, 4u * k, n);
      let p = start_a + k;
      c0 = multiply(c0, a[p], right);
      if (ROWS > 1u) {
        c1 = multiply(c1, a[p + step], right);
      }
      if (ROWS > 2u) {
        c2 = multiply(c2, a[p + 2u * step], right);
      }
      if (ROWS > 3u) {
        c3 = multiply(c3, a[p + 3u * step], right);
      }
    }
    if (SLICES == 1u) {
      let rows = array<vec4f, 4>(c0, c1, c2, c3);
      for (var row = 0u; row < ROWS; row++) {
        store(z, row, n, rows[row]);
      }
    } else {
      let at = slice * WIDTH + vector;
      partial[at] = c0;
      if (ROWS > 1u) {
        partial[LANES + at] = c1;
      }
      if (ROWS > 2u) {
        partial[2u * LANES + at] = c2;
      }
      if (ROWS > 3u) {
        partial[3u * LANES + at] = c3;
      }
      workgroupBarrier();
      for (var i = lane; i < ROWS * WIDTH; i += LANES) {
        let row = i / WIDTH;
        let column = i % WIDTH;
        var sum = vec4f();
        for (var s = 0u; s < SLICES; s++) {
          sum += partial[row * LANES + s * WIDTH + column];
        }
        store(z, row, first + 4u * column, sum);
      }
      workgroupBarrier();
    }
  }
}
