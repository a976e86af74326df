// Converts between number types: y = result(x). Fractions are cut off towards 0; numbers outside the range of the result take its nearest end.
// Shapes: x and y are N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes).
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

alias source = f32;  // f32, i32 or u32
alias result = i32;  // f32, i32 or u32

override BLOCK: u32 = 64u;         // invocations a workgroup
override LOWEST: f32 = -2147483648.0;   // bounds of a result that is a whole number, as f32
override HIGHEST: f32 = 2147483520.0;
override CLAMP: bool = true;       // from f32 to whole numbers

struct Params {
  words: u32,  // vectors of 4 elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<source>>;        // (N)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<result>>;  // (N)

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    if (CLAMP) {
      y[i] = vec4<result>(clamp(vec4f(x[i]), vec4f(LOWEST), vec4f(HIGHEST)));
    } else {
      y[i] = vec4<result>(x[i]);
    }
  }
}
