// Matrix product without workgroup memory, a shared by quads: y = activation(a b + bias), or added to y.
// Shapes: a (M, K) and b (K, N), or stored transposed. As direct.wgsl, but the four invocations of a quad, which need
// the same rows of a, read one vector each and hand it to the others: a third fewer loads, which on an emulation cost
// more than the arithmetic. Relies on quads being neighbours along x, as they are where WIDTH is a multiple of 4 and
// invocations are numbered in order. An `enable` is for a whole file, hence a second one.
// Every row of an operand, as stored, must be a multiple of 4, and so must K. b may hold halves, two to a word.
// Batches: matrix z = (major, minor) of y takes a and b from the steps given, 0 where they are shared.
// Dispatch: x = ceil(M / (8 HEIGHT)) * ceil(N / (4 WIDTH)) tiles of y, rows of tiles first; z = matrices.

enable subgroups;

alias word_b = vec4u;                  // the bits of four neighbours of b; vec2u where b is stored as halves
const WORDS_B: u32 = 4u;               // u32 in one of these: 2 with halves
override WIDTH: u32 = 8u;              // invocations of a workgroup along N, a multiple of 4
override HEIGHT: u32 = 4u;             // and along M
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
  a_steps: vec2u,  // elements between matrices of a along the major and the minor batch axis
  b_steps: vec2u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;       // (Z, M, K) or (Z, K, M)
@group(0) @binding(2) var<storage, read> b: array<word_b>;      // (Z, K, N) or (Z, N, K)
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // (N)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // (Z, M, N)

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

// Vector p of a in each invocation of a quad, of all four; transposed if a is stored so.
fn gather_a(p: u32) -> mat4x4f {
  let own = a[p];
  let v = mat4x4f(quadBroadcast(own, 0u), quadBroadcast(own, 1u), quadBroadcast(own, 2u), quadBroadcast(own, 3u));
  if (TRANSPOSE_A) {
    return transpose(v);
  }
  return v;
}

// Where four rows of a stored matrix begin, from row r on; the last of its rows repeats.
fn rows_from(r: u32, rows: u32, pitch: u32) -> vec4u {
  return min(vec4u(r) + vec4u(0u, 1u, 2u, 3u), vec4u(rows - 1u)) * pitch;
}

// Rows k to k + 3 of b, columns n to n + 3, from what is stored at four places; the matrix holds a row in each column.
fn load_vectors_b(p: vec4u) -> mat4x4f {
  let v = mat4x4f(vector_b(p.x), vector_b(p.y), vector_b(p.z), vector_b(p.w));
  if (TRANSPOSE_B) {
    return transpose(v);
  }
  return v;
}

// c + (four elements of a row of a) times (four rows of b). An emulation's fma is slower than both of its steps.
fn multiply(c: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return c + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

@compute @workgroup_size(WIDTH, HEIGHT)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tiles = (params.N + 4u * WIDTH - 1u) / (4u * WIDTH);
  let tile = group.x + group.y * groups.x;
  let m = (tile / tiles * HEIGHT + local.y) * 8u;
  let n = (tile % tiles * WIDTH + local.x) * 4u;
  // No invocation may leave before the others have what it read: those outside only do not store.
  for (var z = group.z; z < params.batch; z += groups.z) {
    let major = z / params.minor;
    let minor = z % params.minor;
    let start_a = major * params.a_steps.x + minor * params.a_steps.y;
    let start_b = major * params.b_steps.x + minor * params.b_steps.y;
    // Where the next vectors lie, in vectors: of a, the row of this member of the quad; of b, four rows.
    let member = lane % 4u;
    var upper = (start_a + min(m + member, params.M - 1u) * params.K) / 4u;
    var lower = (start_a + min(m + 4u + member, params.M - 1u) * params.K) / 4u;
    var right = vec4u(start_b / 4u) + rows_from(n, params.N, params.K / 4u);
    if (TRANSPOSE_A) {
      upper = (start_a + min(m, params.M - 4u) + member * params.M) / 4u;
      lower = (start_a + min(m + 4u, params.M - 4u) + member * params.M) / 4u;
    }
    if (!TRANSPOSE_B) {
      right = vec4u((start_b + min(n, params.N - 4u)) / 4u) + rows_from(0u, params.K, params.N / 4u);
    }
    let step_a = select(1u, params.M, TRANSPOSE_A);
    let step_b = select(params.N, 1u, TRANSPOSE_B);
    // Named one by one: emulations keep arrays in memory.
    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    var c4 = vec4f();
    var c5 = vec4f();
    var c6 = vec4f();
    var c7 = vec4f();
    for (var k = 0u; k < params.K; k += 4u) {
      let b4 = load_vectors_b(right);
      let a4 = gather_a(upper);
      c0 = multiply(c0, a4[0], b4);
      c1 = multiply(c1, a4[1], b4);
      c2 = multiply(c2, a4[2], b4);
      c3 = multiply(c3, a4[3], b4);
      let a8 = gather_a(lower);
      c4 = multiply(c4, a8[0], b4);
      c5 = multiply(c5, a8[1], b4);
      c6 = multiply(c6, a8[2], b4);
      c7 = multiply(c7, a8[3], b4);
      upper += step_a;
      lower += step_a;
      right += step_b;
    }
    // One call in a loop: a copy of the code for each row would take a second to compile.
    let rows = array<vec4f, 8>(c0, c1, c2, c3, c4, c5, c6, c7);
    for (var r = 0u; r < 8u; r++) {
      store(z, m + r, n, rows[r]);
    }
  }
}
