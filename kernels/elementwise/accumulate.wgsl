// Adds one tensor to another in place, or copies it: y = x, or y = y + x.
// Shapes: x and y are N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes).
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;     // invocations a workgroup
override ADD: bool = true;     // false: copy

struct Params {
  words: u32,  // vectors of 4 elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;        // (N)
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // (N)

@compute @workgroup_size(BLOCK)
fn accumulate(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    if (ADD) {
      y[i] += x[i];
    } else {
      y[i] = x[i];
    }
  }
}
