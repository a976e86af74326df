// Dropout: y = keep ? scale x : 0, where an element is kept if its random word is at least `threshold`. No mask is stored: the backward
// pass is the same kernel over dy, which draws the same words again.
// Words are Philox4x32-10 of counter (i / 4, call, step low, step high) under the seed; element i takes word i % 4 (src/tensor/philox.ts).
// Shapes: x and y are N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes); state is seed low, seed high, step low, step high.
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.
// Sources: Srivastava et al. 2014; Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  words: u32,      // vectors of 4 elements
  call: u32,       // which draw of the step
  threshold: u32,  // p 2^32
  scale: f32,      // 1 / (1 - p)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<vec4u>;    // (1)
@group(0) @binding(2) var<storage, read> x: array<vec4f>;        // (N)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // (N)

// High 32 bits of a 64-bit product, by 16-bit halves whose sums never overflow; the low ones are a * b.
fn multiply_high(a: u32, b: u32) -> u32 {
  let high_low = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let low_high = (a & 0xffffu) * (b >> 16u) + (high_low & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (high_low >> 16u) + (low_high >> 16u);
}

fn philox(start: vec4u, seed: vec2u) -> vec4u {
  var counter = start;
  var key = seed;
  for (var round = 0u; round < 10u; round++) {
    counter = vec4u(
      multiply_high(0xcd9e8d57u, counter.z) ^ counter.y ^ key.x,
      0xcd9e8d57u * counter.z,
      multiply_high(0xd2511f53u, counter.x) ^ counter.w ^ key.y,
      0xd2511f53u * counter.x,
    );
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return counter;
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let random = philox(vec4u(i, params.call, state[0].zw), state[0].xy);
    y[i] = select(vec4f(0.0), x[i] * params.scale, random >= vec4u(params.threshold));
  }
}
