// What a register tile of a matrix product reaches at its best: every size is ideal, no edge is looked for, nothing is
// fetched from beyond the nearest cache, and nothing is stored until the end. Products are measured against it.
// `direct` multiplies panels in storage that stay in a cache, 8 x 4 results an invocation; `staged` panels in workgroup
// memory, 8 x 8 results. Both go through K = 64 again and again.
// Shapes: a 32 rows (128 in `staged`) and b 32 columns (128) of 64 numbers along K; y 32 x 32 (128 x 128) a workgroup.
// Dispatch: any number of workgroups, each the same work. FLOPs: 2 * 32 * 32 * 64 * loops (2 * 128 * 128 * 64 * loops).

struct Params {
  loops: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;       // `direct`: (32, 64); `staged`: (64, 128)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;       // `direct`: (64, 32); `staged`: (64, 128)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (workgroups, 32, 32) or (workgroups, 128, 128)

var<workgroup> tile_a: array<vec4f, 512>; // (16, 32) vectors
var<workgroup> tile_b: array<vec4f, 512>;

// c + (four elements of a row of a) times (four rows of b).
fn multiply(c: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return c + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

@compute @workgroup_size(8, 4)
fn direct(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var c4 = vec4f();
  var c5 = vec4f();
  var c6 = vec4f();
  var c7 = vec4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = local.y * 128u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let right = mat4x4f(b[q], b[q + 8u], b[q + 16u], b[q + 24u]);
      c0 = multiply(c0, a[p], right);
      c1 = multiply(c1, a[p + 16u], right);
      c2 = multiply(c2, a[p + 32u], right);
      c3 = multiply(c3, a[p + 48u], right);
      c4 = multiply(c4, a[p + 64u], right);
      c5 = multiply(c5, a[p + 80u], right);
      c6 = multiply(c6, a[p + 96u], right);
      c7 = multiply(c7, a[p + 112u], right);
      p += 1u;
      q += 32u;
    }
  }
  let at = (group.x * 32u + local.y * 8u) * 8u + local.x;
  y[at] = c0;
  y[at + 8u] = c1;
  y[at + 16u] = c2;
  y[at + 24u] = c3;
  y[at + 32u] = c4;
  y[at + 40u] = c5;
  y[at + 48u] = c6;
  y[at + 56u] = c7;
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

// Four rows of y from row m on, vector n of each.
fn put(m: u32, n: u32, rows: mat4x4f) {
  let at = m * 32u + n;
  y[at] = rows[0];
  y[at + 32u] = rows[1];
  y[at + 64u] = rows[2];
  y[at + 96u] = rows[3];
}

@compute @workgroup_size(16, 16)
fn staged(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var c00 = mat4x4f();
  var c01 = mat4x4f();
  var c10 = mat4x4f();
  var c11 = mat4x4f();
  // A quarter of K fits workgroup memory; it stands for all of it, with the first quarter's numbers.
  for (var i = lane; i < 512u; i += 256u) {
    tile_a[i] = a[i];
    tile_b[i] = b[i];
  }
  workgroupBarrier();
  for (var i = 0u; i < 4u * params.loops; i++) {
    for (var k = 0u; k < 16u; k++) {
      let a0 = tile_a[k * 32u + local.y];
      let a1 = tile_a[k * 32u + 16u + local.y];
      let b0 = tile_b[k * 32u + local.x];
      let b1 = tile_b[k * 32u + 16u + local.x];
      c00 = add_outer(c00, a0, b0);
      c01 = add_outer(c01, a0, b1);
      c10 = add_outer(c10, a1, b0);
      c11 = add_outer(c11, a1, b1);
    }
  }
  let row = group.x * 128u + 4u * local.y;
  put(row, local.x, c00);
  put(row, 16u + local.x, c01);
  put(row + 64u, local.x, c10);
  put(row + 64u, 16u + local.x, c11);
}
