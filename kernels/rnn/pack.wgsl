// Lays a recurrent weight out so that neighbouring lanes read neighbouring words and one word serves all gates of a unit.
//   forward:  packed[k, u, g] = weight[g H + u, k] for k < K, and the bias in row k = K: packed[K, u, g] = bias[g H + u]
//   backward: packed[u, k, g] = weight[g H + u, k]
// Shapes: H hidden units u, K recurrent inputs k (H, without a projection), G gates, WORD values a unit: 4, with
// zeros after the last gate, or 1 where G = 1. One launch a direction; the directions follow each other.
// Dispatch: ceil(H WORD / 16) x ceil((K + 1) / 16) workgroups forward, ceil(K WORD / 16) x ceil(H / 16) backward;
// a workgroup covers a square, so that reads and writes both use whole memory lines.

override WORD: u32 = 4u;       // values a unit in a packed row
override BIAS: bool = true;    // whether there is a bias; without, the bias row is zero

struct Params {
  width: u32,  // H
  inner: u32,  // K
  gates: u32,  // G
  start: u32,  // where this direction begins in packed
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;        // (G H, K)
@group(0) @binding(2) var<storage, read> bias: array<f32>;          // (G H), or any tensor without BIAS
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;  // (K + 1, H, WORD) or (H, K, WORD) a direction

@compute @workgroup_size(16, 16)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let unit = id.x / WORD;
  let gate = id.x % WORD;
  let k = id.y;
  if (unit < params.width && k <= params.inner) {
    let row = gate * params.width + unit;
    var value = 0.0;
    if (gate < params.gates) {
      if (k < params.inner) {
        value = weight[row * params.inner + k];
      } else if (BIAS) {
        value = bias[row];
      }
    }
    packed[params.start + (k * params.width + unit) * WORD + gate] = value;
  }
}

@compute @workgroup_size(16, 16)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let k = id.x / WORD;
  let gate = id.x % WORD;
  let unit = id.y;
  if (unit < params.width && k < params.inner) {
    var value = 0.0;
    if (gate < params.gates) {
      value = weight[(gate * params.width + unit) * params.inner + k];
    }
    packed[params.start + (unit * params.inner + k) * WORD + gate] = value;
  }
}
