// Fills a tensor with one 32-bit pattern: y[i] = bits.
// Shapes: y is N elements of any 32-bit type, seen as N/4 vectors rounded up (storage is padded to 16 bytes).
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  words: u32,  // vectors of 4 elements
  bits: u32,   // the pattern
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>;  // (N)

@compute @workgroup_size(BLOCK)
fn fill(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = vec4u(params.bits);
  }
}
