// Moves a random number generator to its next step: the 64-bit number in words 2 and 3 goes up by one.
// On the device, so that a captured plan draws new numbers in every replay.
// Shapes: state is 4 words: seed low, seed high, step low, step high.
// Dispatch: one workgroup.

@group(0) @binding(0) var<storage, read_write> state: array<vec4u>;  // (1)

@compute @workgroup_size(1)
fn forward() {
  let low = state[0].z + 1u;
  state[0].z = low;
  state[0].w += select(0u, 1u, low == 0u);
}
