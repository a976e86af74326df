// As the direct forms of tile.wgsl, but the four invocations of a quad read one vector of a each and hand it to the others.
// Shapes: with R x C, a has 4 R rows and b 8 C columns of 64 numbers along K, y 4 R x 8 C a workgroup.
// Dispatch: any number of workgroups, each the same work. FLOPs: 2 * 4 R * 8 C * 64 * loops.

enable subgroups;

struct Params {
  loops: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;       // (rows, 64)
@group(0) @binding(2) var<storage, read> b: array<vec4f>;       // (64, columns)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>; // (workgroups, rows, columns)

// c + (four elements of a row of a) times (four rows of b).
fn multiply(c: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return c + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

// The same for four rows of c and of a.
fn multiply_rows(c: mat4x4f, a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(multiply(c[0], a[0], b), multiply(c[1], a[1], b), multiply(c[2], a[2], b), multiply(c[3], a[3], b));
}

// Four elements along K of the four rows of a that the members of a quad begin at.
fn rows_a(p: u32) -> mat4x4f {
  let own = a[p];
  return mat4x4f(quadBroadcast(own, 0u), quadBroadcast(own, 1u), quadBroadcast(own, 2u), quadBroadcast(own, 3u));
}

// Four rows of b of so many vectors, one vector of each.
fn rows_b(q: u32, pitch: u32) -> mat4x4f {
  return mat4x4f(b[q], b[q + pitch], b[q + 2u * pitch], b[q + 3u * pitch]);
}

// Four rows of y of so many vectors, one vector of each.
fn put(at: u32, pitch: u32, rows: mat4x4f) {
  y[at] = rows[0];
  y[at + pitch] = rows[1];
  y[at + 2u * pitch] = rows[2];
  y[at + 3u * pitch] = rows[3];
}

@compute @workgroup_size(8, 4)
fn direct4x8(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c00 = mat4x4f();
  var c01 = mat4x4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 4u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let b0 = rows_b(q, 16u);
      let b1 = rows_b(q + 8u, 16u);
      let a0 = rows_a(p);
      c00 = multiply_rows(c00, a0, b0);
      c01 = multiply_rows(c01, a0, b1);
      p += 1u;
      q += 64u;
    }
  }
  let at = (group.x * 4u + local.y) * 64u + local.x;
  put(at, 16u, c00);
  put(at + 8u, 16u, c01);
}

@compute @workgroup_size(8, 4)
fn direct8x4(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c0 = mat4x4f();
  var c1 = mat4x4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 8u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let b0 = rows_b(q, 8u);
      let a0 = rows_a(p);
      c0 = multiply_rows(c0, a0, b0);
      let a1 = rows_a(p + 64u);
      c1 = multiply_rows(c1, a1, b0);
      p += 1u;
      q += 32u;
    }
  }
  let at = (group.x * 4u + local.y) * 64u + local.x;
  put(at, 8u, c0);
  put(at + 32u, 8u, c1);
}

@compute @workgroup_size(8, 4)
fn direct8x8(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c00 = mat4x4f();
  var c01 = mat4x4f();
  var c10 = mat4x4f();
  var c11 = mat4x4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 8u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let b0 = rows_b(q, 16u);
      let b1 = rows_b(q + 8u, 16u);
      let a0 = rows_a(p);
      c00 = multiply_rows(c00, a0, b0);
      c01 = multiply_rows(c01, a0, b1);
      let a1 = rows_a(p + 64u);
      c10 = multiply_rows(c10, a1, b0);
      c11 = multiply_rows(c11, a1, b1);
      p += 1u;
      q += 64u;
    }
  }
  let at = (group.x * 4u + local.y) * 128u + local.x;
  put(at, 16u, c00);
  put(at + 8u, 16u, c01);
  put(at + 64u, 16u, c10);
  put(at + 72u, 16u, c11);
}

@compute @workgroup_size(8, 4)
fn direct16x8(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c00 = mat4x4f();
  var c01 = mat4x4f();
  var c10 = mat4x4f();
  var c11 = mat4x4f();
  var c20 = mat4x4f();
  var c21 = mat4x4f();
  var c30 = mat4x4f();
  var c31 = mat4x4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 16u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let b0 = rows_b(q, 16u);
      let b1 = rows_b(q + 8u, 16u);
      let a0 = rows_a(p);
      c00 = multiply_rows(c00, a0, b0);
      c01 = multiply_rows(c01, a0, b1);
      let a1 = rows_a(p + 64u);
      c10 = multiply_rows(c10, a1, b0);
      c11 = multiply_rows(c11, a1, b1);
      let a2 = rows_a(p + 128u);
      c20 = multiply_rows(c20, a2, b0);
      c21 = multiply_rows(c21, a2, b1);
      let a3 = rows_a(p + 192u);
      c30 = multiply_rows(c30, a3, b0);
      c31 = multiply_rows(c31, a3, b1);
      p += 1u;
      q += 64u;
    }
  }
  let at = (group.x * 4u + local.y) * 256u + local.x;
  put(at, 16u, c00);
  put(at + 8u, 16u, c01);
  put(at + 64u, 16u, c10);
  put(at + 72u, 16u, c11);
  put(at + 128u, 16u, c20);
  put(at + 136u, 16u, c21);
  put(at + 192u, 16u, c30);
  put(at + 200u, 16u, c31);
}

@compute @workgroup_size(8, 4)
fn direct32x8(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  var c00 = mat4x4f();
  var c01 = mat4x4f();
  var c10 = mat4x4f();
  var c11 = mat4x4f();
  var c20 = mat4x4f();
  var c21 = mat4x4f();
  var c30 = mat4x4f();
  var c31 = mat4x4f();
  var c40 = mat4x4f();
  var c41 = mat4x4f();
  var c50 = mat4x4f();
  var c51 = mat4x4f();
  var c60 = mat4x4f();
  var c61 = mat4x4f();
  var c70 = mat4x4f();
  var c71 = mat4x4f();
  for (var i = 0u; i < params.loops; i++) {
    var p = (local.y * 32u + lane % 4u) * 16u;
    var q = local.x;
    for (var k = 0u; k < 16u; k++) {
      let b0 = rows_b(q, 16u);
      let b1 = rows_b(q + 8u, 16u);
      let a0 = rows_a(p);
      c00 = multiply_rows(c00, a0, b0);
      c01 = multiply_rows(c01, a0, b1);
      let a1 = rows_a(p + 64u);
      c10 = multiply_rows(c10, a1, b0);
      c11 = multiply_rows(c11, a1, b1);
      let a2 = rows_a(p + 128u);
      c20 = multiply_rows(c20, a2, b0);
      c21 = multiply_rows(c21, a2, b1);
      let a3 = rows_a(p + 192u);
      c30 = multiply_rows(c30, a3, b0);
      c31 = multiply_rows(c31, a3, b1);
      let a4 = rows_a(p + 256u);
      c40 = multiply_rows(c40, a4, b0);
      c41 = multiply_rows(c41, a4, b1);
      let a5 = rows_a(p + 320u);
      c50 = multiply_rows(c50, a5, b0);
      c51 = multiply_rows(c51, a5, b1);
      let a6 = rows_a(p + 384u);
      c60 = multiply_rows(c60, a6, b0);
      c61 = multiply_rows(c61, a6, b1);
      let a7 = rows_a(p + 448u);
      c70 = multiply_rows(c70, a7, b0);
      c71 = multiply_rows(c71, a7, b1);
      p += 1u;
      q += 64u;
    }
  }
  let at = (group.x * 4u + local.y) * 512u + local.x;
  put(at, 16u, c00);
  put(at + 8u, 16u, c01);
  put(at + 64u, 16u, c10);
  put(at + 72u, 16u, c11);
  put(at + 128u, 16u, c20);
  put(at + 136u, 16u, c21);
  put(at + 192u, 16u, c30);
  put(at + 200u, 16u, c31);
  put(at + 256u, 16u, c40);
  put(at + 264u, 16u, c41);
  put(at + 320u, 16u, c50);
  put(at + 328u, 16u, c51);
  put(at + 384u, 16u, c60);
  put(at + 392u, 16u, c61);
  put(at + 448u, 16u, c70);
  put(at + 456u, 16u, c71);
}
