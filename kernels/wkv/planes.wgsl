// Sums of up to five matrices over their rows, in two stages with a fixed order: d_n = sum over r of x_n,r.
// Shapes: R rows of C channels; plane n begins at value starts[n] of x, the fifth at `fifth`; P chunks of rows.
// Dispatch: `sum` ceil(COUNT P C / LANES) workgroups, an invocation a chunk of a column; `collect` ceil(COUNT C / LANES),
// one a column, which adds the chunks up.

override LANES: u32 = 64u;    // invocations a workgroup
override COUNT: u32 = 5u;     // matrices, 1 to 5
override ADD0: bool = false;  // d += instead of =
override ADD1: bool = false;
override ADD2: bool = false;
override ADD3: bool = false;
override ADD4: bool = false;

struct Params {
  starts: vec4u,  // of each matrix in x
  fifth: u32,
  rows: u32,      // R
  channels: u32,  // C
  chunk: u32,     // rows a chunk
  chunks: u32,    // P
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // (COUNT, R, C)
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;  // (COUNT, P, C)
@group(0) @binding(3) var<storage, read> sums: array<f32>;         // (COUNT, P, C): parts
@group(0) @binding(4) var<storage, read_write> d0: array<f32>;     // (C)
@group(0) @binding(5) var<storage, read_write> d1: array<f32>;     // (C)
@group(0) @binding(6) var<storage, read_write> d2: array<f32>;     // (C)
@group(0) @binding(7) var<storage, read_write> d3: array<f32>;     // (C)
@group(0) @binding(8) var<storage, read_write> d4: array<f32>;     // (C)

@compute @workgroup_size(LANES)
fn sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let c = id % params.channels;
  let part = id / params.channels % params.chunks;
  let n = id / params.channels / params.chunks;
  if (n < COUNT) {
    let start = select(params.starts[min(n, 3u)], params.fifth, n == 4u) + c;
    var total = 0.0;
    for (var row = part * params.chunk; row < min((part + 1u) * params.chunk, params.rows); row++) {
      total += x[start + row * params.channels];
    }
    parts[id] = total;
  }
}

@compute @workgroup_size(LANES)
fn collect(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let id = (group.x + group.y * groups.x) * LANES + lane;
  let n = id / params.channels;
  let c = id % params.channels;
  var total = 0.0;
  for (var part = 0u; part < params.chunks && n < COUNT; part++) {
    total += sums[(n * params.chunks + part) * params.channels + c];
  }
  if (n == 0u) {
    if (ADD0) {
      total += d0[c];
    }
    d0[c] = total;
  }
  if (n == 1u && COUNT > 1u) {
    if (ADD1) {
      total += d1[c];
    }
    d1[c] = total;
  }
  if (n == 2u && COUNT > 2u) {
    if (ADD2) {
      total += d2[c];
    }
    d2[c] = total;
  }
  if (n == 3u && COUNT > 3u) {
    if (ADD3) {
      total += d3[c];
    }
    d3[c] = total;
  }
  if (n == 4u && COUNT > 4u) {
    if (ADD4) {
      total += d4[c];
    }
    d4[c] = total;
  }
}
