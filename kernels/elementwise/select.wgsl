// Comparisons, and choice by a mask: y = mask ? a : b with da = mask ? dy : 0 and db = mask ? 0 : dy; mask = a < b, a > b or a = b.
// Shapes: every tensor is N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes); masks are 0 or not, and 0 or 1 as results.
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;  // invocations a workgroup
override OP: u32 = 0u;      // compare: 0 less, 1 greater, 2 equal

struct Params {
  words: u32,  // vectors of 4 elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> mask: array<vec4u>;          // (N)
@group(0) @binding(2) var<storage, read> a: array<vec4f>;             // (N)
@group(0) @binding(3) var<storage, read> b: array<vec4f>;             // (N)
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;       // (N)
@group(0) @binding(5) var<storage, read> dy: array<vec4f>;            // (N)
@group(0) @binding(6) var<storage, read_write> da: array<vec4f>;      // (N)
@group(0) @binding(7) var<storage, read_write> db: array<vec4f>;      // (N)
@group(0) @binding(8) var<storage, read_write> result: array<vec4u>;  // (N)

@compute @workgroup_size(BLOCK)
fn choose(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = select(b[i], a[i], mask[i] != vec4u(0u));
  }
}

@compute @workgroup_size(BLOCK)
fn choose_backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let chosen = mask[i] != vec4u(0u);
    da[i] = select(vec4f(0.0), dy[i], chosen);
    db[i] = select(dy[i], vec4f(0.0), chosen);
  }
}

@compute @workgroup_size(BLOCK)
fn compare(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    var holds = a[i] < b[i];
    if (OP == 1u) {
      holds = a[i] > b[i];
    }
    if (OP == 2u) {
      holds = a[i] == b[i];
    }
    result[i] = select(vec4u(0u), vec4u(1u), holds);
  }
}
