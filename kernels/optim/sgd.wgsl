// One SGD step over all parameters at once, PyTorch's form.
//   g = clip g + decay p;  m = momentum m + (1 - dampening) g (the first step: m = g)
//   p = p - lr (g + momentum m with Nesterov, else m; g without momentum)
// Nothing changes in a step whose gradient is not finite.
// Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html
// Shapes: flat buffers of N/4 vectors; blocks one word for each 64 elements: group << 8 | valid; groups one vec4 each.
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;          // invocations a workgroup
override MOMENTUM: bool = true;     // false: m is not used
override NESTEROV: bool = false;

struct Params {
  words: u32,
  momentum: f32,
  dampening: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> p: array<vec4f>;  // (N)
@group(0) @binding(2) var<storage, read> grad: array<vec4f>;     // (N)
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;  // (N)
@group(0) @binding(4) var<storage, read> blocks: array<u32>;     // (N/64)
@group(0) @binding(5) var<storage, read> groups: array<vec4f>;   // (groups): learning rate, weight decay
@group(0) @binding(6) var<storage, read> control: array<f32>;    // (8), see src/optim/control.ts

@compute @workgroup_size(BLOCK)
fn sgd(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) counts: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * counts.x) * BLOCK + lane;
  if (i < params.words && control[2] == 0.0) {
    let entry = blocks[i / 16u];
    if ((entry & 0xffu) > 0u) {
      let values = groups[entry >> 8u];
      var g = grad[i] * control[1] + values.y * p[i];
      if (MOMENTUM) {
        let first = control[3] == 1.0;
        m[i] = select(params.momentum * m[i] + (1.0 - params.dampening) * g, g, first);
        g = select(m[i], g + params.momentum * m[i], NESTEROV);
      }
      p[i] -= values.x * g;
    }
  }
}
