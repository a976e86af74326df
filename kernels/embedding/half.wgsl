// Rows of a table of halves by id, y[n] = weight[ids[n]], as embedding.wgsl does for f32: an id outside [0, V) gives a row
// of NaN, because zeros would hide the mistake.
// Shapes: V rows of C halves, two to a word, of any C; N ids.
// Dispatch: ceil(N C / (4 BLOCK)) workgroups, four neighbours of y an invocation.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  vocabulary: u32,  // V
  channels: u32,    // C
  size: u32,        // N C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<u32>;     // (V, C) halves
@group(0) @binding(2) var<storage, read> ids: array<i32>;        // (N)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // (N, C)

// Made from a number of the run, because constants may not be NaN.
fn not_a_number(seed: u32) -> f32 {
  return bitcast<f32>(0x7fc00000u | (seed & 0xffffu));
}

// Element i of y.
fn look_up(i: u32) -> f32 {
  let id = ids[i / params.channels];
  let known = id >= 0 && id < i32(params.vocabulary);
  let p = u32(select(0, id, known)) * params.channels + i % params.channels;
  let pair = unpack2x16float(weight[p / 2u]);
  return select(not_a_number(i), select(pair.x, pair.y, p % 2u == 1u), known);
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = 4u * ((group.x + group.y * groups.x) * BLOCK + lane);
  if (i < params.size) {
    y[i / 4u] = vec4f(look_up(i), look_up(i + 1u), look_up(i + 2u), look_up(i + 3u));
  }
}
