// Numbers as halves (IEEE binary16), two to a word, and back: `pack` rounds to nearest, ties to even, keeps subnormals,
// and gives the largest half for what would overflow; `unpack` is exact.
// Rounding is spelt out, because pack2x16float may round either way.
// Shapes: N elements, seen as N/4 vectors rounded up (storage is padded to 16 bytes).
// Dispatch: ceil(words / BLOCK) workgroups, one vector an invocation.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  words: u32,  // vectors of 4 elements
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;             // (N)
@group(0) @binding(2) var<storage, read_write> packed: array<vec2u>;  // (N) halves
@group(0) @binding(3) var<storage, read> halves: array<vec2u>;        // (N) halves
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;       // (N)

// Bits of the halves nearest to four numbers.
fn half_bits(v: vec4f) -> vec4u {
  let bits = bitcast<vec4u>(v);
  let magnitude = bits & vec4u(0x7fffffffu);
  // The exponent counts from 15 instead of 127; the last bit kept decides ties.
  let rounded = magnitude + vec4u(0xfffu) + ((magnitude >> vec4u(13u)) & vec4u(1u));
  let normal = (rounded >> vec4u(13u)) - vec4u(112u << 10u);
  // Below 2^-14 halves are multiples of 2^-24.
  let small = vec4u(round(bitcast<vec4f>(min(magnitude, vec4u(0x38800000u))) * 16777216.0));
  let finite = select(min(normal, vec4u(0x7bffu)), small, magnitude < vec4u(0x38800000u));
  return select(finite, vec4u(0x7e00u), magnitude > vec4u(0x7f800000u)) | ((bits >> vec4u(16u)) & vec4u(0x8000u));
}

@compute @workgroup_size(BLOCK)
fn pack(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    let bits = half_bits(x[i]);
    packed[i] = bits.xz | (bits.yw << vec2u(16u));
  }
}

@compute @workgroup_size(BLOCK)
fn unpack(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.words) {
    y[i] = vec4f(unpack2x16float(halves[i].x), unpack2x16float(halves[i].y));
  }
}
