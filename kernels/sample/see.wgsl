// Counts tokens that a sampler did not draw itself, such as a prompt: seen[b, ids[b, t]] += 1. Ids outside the vocabulary are skipped.
// Shapes: B rows of T ids, V tokens. Dispatch: ceil(B * T / BLOCK) workgroups, one id an invocation.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  ids: u32,         // B * T
  length: u32,      // T
  vocabulary: u32,  // V
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;                // (B, T)
@group(0) @binding(2) var<storage, read_write> seen: array<atomic<u32>>;    // (B, V)

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.ids) {
    let id = tokens[i];
    if (id < params.vocabulary) {
      atomicAdd(&seen[i / params.length * params.vocabulary + id], 1u);
    }
  }
}
