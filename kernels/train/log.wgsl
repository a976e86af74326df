// Appends what a training step did to a ring, so that the host reads many steps at once:
//   ring[count % capacity] = (loss, gradient norm, skipped, 0); count = count + 1
// Shapes: loss has one element; control 8 words (src/optim/control.ts); ring (capacity) vectors; count one word.
// Dispatch: one workgroup.

struct Params {
  capacity: u32,  // steps that the ring holds
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> loss: array<f32>;           // (1)
@group(0) @binding(2) var<storage, read> control: array<f32>;        // (8)
@group(0) @binding(3) var<storage, read_write> ring: array<vec4f>;   // (capacity)
@group(0) @binding(4) var<storage, read_write> count: array<u32>;    // (1)

@compute @workgroup_size(1)
fn append() {
  let at = count[0];
  ring[at % params.capacity] = vec4f(loss[0], control[0], control[2], 0.0);
  count[0] = at + 1u;
}
