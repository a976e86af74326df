// Fills a tensor with random numbers: `fill_words` raw, `fill_uniform` in [low, low + span), `fill_normal` with mean low and deviation span.
// Words are Philox4x32-10 of counter (i / 4, call, step low, step high) under the seed; element i takes word i % 4 (src/tensor/philox.ts).
// Shapes: y is N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes); state is seed low, seed high, step low, step high.
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.
// Sources: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Box and Muller 1958.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  words: u32,  // vectors of 4 elements
  call: u32,   // which draw of the step
  low: f32,
  span: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<vec4u>;    // (1)
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;  // (N), f32 bit patterns but for `fill_words`

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

fn draw(i: u32) -> vec4u {
  return philox(vec4u(i, params.call, state[0].zw), state[0].xy);
}

// [0, 1) in steps of 2^-24, so that 1 is never reached by rounding.
fn to_unit(random: vec4u) -> vec4f {
  return vec4f(random >> vec4u(8u)) * 5.9604644775390625e-8;
}

@compute @workgroup_size(BLOCK)
fn fill_words(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = draw(i);
  }
}

@compute @workgroup_size(BLOCK)
fn fill_uniform(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = bitcast<vec4u>(params.low + params.span * to_unit(draw(i)));
  }
}

@compute @workgroup_size(BLOCK)
fn fill_normal(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let unit = to_unit(draw(i));
    let radius = sqrt(-2.0 * log(max(unit.xz, vec2f(2.98023223876953125e-8))));
    let angle = 6.283185307179586 * unit.yw;
    let real = radius * cos(angle);
    let imaginary = radius * sin(angle);
    y[i] = bitcast<vec4u>(params.low + params.span * vec4f(real.x, imaginary.x, real.y, imaginary.y));
  }
}
