// Copies a band of columns between two matrices, for slicing, splitting and joining along an axis, with zeros around it where
// `lead` and `count` leave room: y[r, ystart + j] = x[r, xstart + j - lead] if lead <= j < lead + count, else 0, for j < width.
// Shapes: x is (R, xpitch), y is (R, ypitch), elements of any 32-bit type. With vec4u elements all sizes are in vectors.
// Dispatch: ceil(words / BLOCK) workgroups with words = R width, one element an invocation.

alias elem = u32;  // vec4u where all sizes divide by 4

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  words: u32,   // R width
  width: u32,   // columns written a row
  xpitch: u32,  // columns of x
  xstart: u32,
  ypitch: u32,  // columns of y
  ystart: u32,
  lead: u32,    // zeros before the copied columns
  count: u32,   // copied columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;        // (R, xpitch)
@group(0) @binding(2) var<storage, read_write> y: array<elem>;  // (R, ypitch)

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let row = i / params.width;
    let j = i % params.width;
    var value = elem(0u);
    if (j >= params.lead && j - params.lead < params.count) {
      value = x[row * params.xpitch + params.xstart + j - params.lead];
    }
    y[row * params.ypitch + params.ystart + j] = value;
  }
}
