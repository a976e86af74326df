// Counts the NaNs and infinities of a tensor: y[g] = number of x in the share of workgroup g that are not finite.
// Compilers may assume that no NaN occurs, so exponent bits are tested: all ones means NaN or infinity.
// Shapes: x is N elements; y is one count a workgroup, which `total` adds up to one number.
// Dispatch: `forward`, any number of workgroups, each takes every groups-th block; `total`, one workgroup.

override BLOCK: u32 = 64u;  // invocations a workgroup, a power of two

struct Params {
  count: u32,  // N, or counts to add up
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;        // (N), bit patterns of f32, or (groups) counts
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // (groups) or (1)

var<workgroup> partial: array<u32, BLOCK>;

fn add_up(lane: u32, mine: u32) -> u32 {
  partial[lane] = mine;
  for (var half = BLOCK / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var found = 0u;
  for (var i = group.x * BLOCK + lane; i < params.count; i += groups.x * BLOCK) {
    found += select(0u, 1u, (x[i] & 0x7f800000u) == 0x7f800000u);
  }
  let sum = add_up(lane, found);
  if (lane == 0u) {
    y[group.x] = sum;
  }
}

@compute @workgroup_size(BLOCK)
fn total(@builtin(local_invocation_index) lane: u32) {
  var found = 0u;
  for (var i = lane; i < params.count; i += BLOCK) {
    found += x[i];
  }
  let sum = add_up(lane, found);
  if (lane == 0u) {
    y[0] = sum;
  }
}
