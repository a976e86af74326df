// Lays a recurrent weight out so that neighbouring lanes read neighbouring words and one word serves all gates of a unit.
//   forward:  packed[k, u, g] = weight[g H + u, k], and in row k = K the bias: packed[K, u, g] = bias[g H + u]
//   backward: packed[m, k] = weight[m, k]
//   halves:   as forward, from halves to halves: K rows of H WORD of them, each row whole words, then the bias as f32
// Shapes: H hidden units u and hidden values k, G gates; K and J are H and G H rounded up to multiples of 4, with zeros
// there; WORD values a unit: 4, with zeros after the last gate, or 1 where G = 1. One launch a direction.
// Dispatch: ceil(H WORD / 16) x ceil((K + 1) / 16) workgroups forward, ceil(K / 16) x ceil(J / 16) backward,
// ceil(R / 16) x ceil((K + 2) / 16) halves, with R = H WORD / 2, rounded up;
// a workgroup covers a square, so that reads and writes both use whole memory lines.

override WORD: u32 = 4u;       // values a unit in a packed row
override BIAS: bool = true;    // whether there is a bias; without, the bias row is zero
override HALF: bool = false;   // weight holds halves, two to a word

struct Params {
  width: u32,  // H
  inner: u32,  // K
  gates: u32,  // G
  start: u32,  // where this direction begins in packed
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<u32>;        // (G H, H), the bits of f32 or of halves
@group(0) @binding(2) var<storage, read> bias: array<f32>;          // (G H), or any tensor without BIAS
@group(0) @binding(3) var<storage, read_write> packed: array<f32>;  // a direction (K + 1, H, WORD), or (J, K) for backward
@group(0) @binding(4) var<storage, read_write> words: array<u32>;   // (K, R) and the bias (H, WORD) for halves

// The half of `weight` at an element, as bits.
fn half_at(i: u32) -> u32 {
  return (weight[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
}

fn weight_at(i: u32) -> f32 {
  if (HALF) {
    return unpack2x16float(half_at(i)).x;
  }
  return bitcast<f32>(weight[i]);
}

@compute @workgroup_size(16, 16)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let width = params.width;
  let unit = id.x / WORD;
  let gate = id.x % WORD;
  let k = id.y;
  if (unit < width && k <= params.inner) {
    var value = 0.0;
    if (gate < params.gates) {
      if (k < width) {
        value = weight_at((gate * width + unit) * width + k);
      } else if (BIAS && k == params.inner) {
        value = bias[gate * width + unit];
      }
    }
    packed[params.start + (k * width + unit) * WORD + gate] = value;
  }
}

@compute @workgroup_size(16, 16)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let width = params.width;
  let rows = params.gates * width;
  if (id.x < params.inner && id.y < (rows + 3u) / 4u * 4u) {
    var value = 0.0;
    if (id.x < width && id.y < rows) {
      value = weight_at(id.y * width + id.x);
    }
    packed[params.start + id.y * params.inner + id.x] = value;
  }
}

// The half in column `at` of packed row k.
fn packed_half(k: u32, at: u32) -> u32 {
  let unit = at / WORD;
  let gate = at % WORD;
  if (unit < params.width && k < params.width && gate < params.gates) {
    return half_at((gate * params.width + unit) * params.width + k);
  }
  return 0u;
}

@compute @workgroup_size(16, 16)
fn halves(@builtin(global_invocation_id) id: vec3u) {
  let row = (params.width * WORD + 1u) / 2u;
  if (id.x < row && id.y < params.inner) {
    words[id.y * row + id.x] = packed_half(id.y, 2u * id.x) | (packed_half(id.y, 2u * id.x + 1u) << 16u);
  }
  if (id.x < row && id.y >= params.inner) {
    let at = (id.y - params.inner) * row + id.x;
    let gate = at % WORD;
    var bits = 0u;
    if (BIAS && gate < params.gates) {
      bits = bitcast<u32>(bias[gate * params.width + at / WORD]);
    }
    if (at < params.width * WORD) {
      words[params.inner * row + at] = bits;
    }
  }
}
