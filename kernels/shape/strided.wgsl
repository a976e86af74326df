// Copies a tensor that is read with other steps, for permuting and stretching axes: y[i] = x[place(i)], or scale * x[place(i)].
// Shapes: y is N elements of any 32-bit type, walked over 4 axes `sizes` (outermost first) with a step of x on each. With
// vec4u elements all but a stretched innermost step are in vectors, and N/4 is rounded up (storage is padded).
// Dispatch: ceil(words / BLOCK) workgroups, one element an invocation.

alias elem = vec4u;    // u32 where the innermost axis does not divide by 4 or is not contiguous in x
alias source = vec4u;  // u32 where x is stretched over the innermost axis
alias real = vec4f;    // f32 with elem u32

override BLOCK: u32 = 64u;      // invocations a workgroup
override RANK: u32 = 1u;        // axes in use
override SCALED: bool = false;  // multiply by params.scale; elements are f32

struct Params {
  sizes: vec4u,
  step: vec4u,
  words: u32,  // elements to copy
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<source>;      // any shape that the steps stay inside of
@group(0) @binding(2) var<storage, read_write> y: array<elem>;  // (N)

// Index into an operand of element i of the walk.
fn place(i: u32, step: vec4u) -> u32 {
  if (RANK == 1u) {
    return i * step.w;
  }
  let d = i % params.sizes.w;
  let rest = i / params.sizes.w;
  if (RANK == 2u) {
    return rest * step.z + d * step.w;
  }
  let c = rest % params.sizes.z;
  let high = rest / params.sizes.z;
  return (high / params.sizes.y) * step.x + (high % params.sizes.y) * step.y + c * step.z + d * step.w;
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let value = elem(x[place(i, params.step)]);
    if (SCALED) {
      y[i] = bitcast<elem>(bitcast<real>(value) * params.scale);
    } else {
      y[i] = value;
    }
  }
}
