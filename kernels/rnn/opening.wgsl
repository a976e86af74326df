// What enters a recurrent layer at the first step of each sequence beside its input: the hidden projection of an
// initial state that is not of the layer's own width (an LSTM with projection, src/ops/rnn/projection.ts).
//   forward: z[d, row of the first step of b] += start[d, b];  backward: dstart[d, b] = dz[d, that row]
// Shapes: B batch, T steps, D directions, C = gates times units, N = T B rows, t * time + b * sample.
// Dispatch: ceil(C / BLOCK) x B x D workgroups. An entry of length 0 has no first step; its gradient is 0.

override BLOCK: u32 = 64u;  // invocations a workgroup

struct Params {
  steps: u32,     // T
  batch: u32,     // B
  columns: u32,   // C
  reversed: u32,  // bit d is set if direction d runs from the last step to the first
  time: u32,      // rows from a step to the next
  sample: u32,    // rows from a batch entry to the next
  gates: u32,     // values from one direction's z to the next's
  ragged: u32,    // 1 if entries have lengths
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> start: array<f32>;        // (D, B, C)
@group(0) @binding(2) var<storage, read> lengths: array<i32>;      // (B)
@group(0) @binding(3) var<storage, read_write> z: array<f32>;      // (D, N, C)
@group(0) @binding(4) var<storage, read> dz: array<f32>;           // (D, N, C)
@group(0) @binding(5) var<storage, read_write> dstart: array<f32>; // (D, B, C)

// The step after the last of entry b.
fn end_of(b: u32) -> i32 {
  return select(i32(params.steps), min(lengths[b], i32(params.steps)), params.ragged == 1u);
}

fn first_value(direction: u32, b: u32, column: u32) -> u32 {
  let last = u32(max(end_of(b), 1)) - 1u;
  let t = select(0u, last, ((params.reversed >> direction) & 1u) == 1u);
  return direction * params.gates + (t * params.time + b * params.sample) * params.columns + column;
}

@compute @workgroup_size(BLOCK)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * BLOCK + lane;
  if (column < params.columns && end_of(group.y) > 0) {
    z[first_value(group.z, group.y, column)] += start[(group.z * params.batch + group.y) * params.columns + column];
  }
}

@compute @workgroup_size(BLOCK)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * BLOCK + lane;
  if (column < params.columns) {
    let value = select(0.0, dz[first_value(group.z, group.y, column)], end_of(group.y) > 0);
    dstart[(group.z * params.batch + group.y) * params.columns + column] = value;
  }
}
