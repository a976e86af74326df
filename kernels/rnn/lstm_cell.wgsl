// One step of an LSTM layer in one direction, for generation; no gradient.
//   i, f, o = sigmoid(z), g = tanh(z) with z = table[token] + h0 W_hh^T + b_hh in blocks i, f, g, o
//   cn = f c0 + i g,  hn = o tanh(cn)
// `table` is either the embedding already multiplied by W_ih^T, b_ih added, a row a token of the vocabulary,
// so that the sampled token selects its row on the device, or the product of a layer's input, a row a batch entry.
// Shapes: B batch, H units, V rows of the table; h0, c0, hn, cn may hold the states of more layers, at `slot` that of this.
// Dispatch: ceil(H / UNITS) x B workgroups. hn, cn must not be h0, c0.
// Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000; gate order of torch.nn.LSTM.

alias word_w = vec4u;       // the bits of a unit's weights; vec2u where they are stored as halves
const WORDS_W: u32 = 4u;    // u32 in one of these: 2 with halves
override LANES: u32 = 64u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 16u;   // units a workgroup
override ALIGNED: bool = true; // H is a multiple of 4

struct Params {
  width: u32,   // H
  inner: u32,   // K, H rounded up to a multiple of 4
  slot: u32,    // where the layer's state begins in h0, c0, hn, cn
  lookup: u32,  // 1 if tokens select rows of table, else batch entry b takes row b
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;      // (V, 4 H)
@group(0) @binding(2) var<storage, read> tokens: array<u32>;     // (B)
@group(0) @binding(3) var<storage, read> weights: array<word_w>; // (K + 1, H), the bias last; halves (K, H), then the bias (pack.wgsl)
@group(0) @binding(4) var<storage, read> h0: array<f32>;         // (.., B, H)
@group(0) @binding(5) var<storage, read> c0: array<f32>;         // (.., B, H)
@group(0) @binding(6) var<storage, read_write> hn: array<f32>;   // (.., B, H)
@group(0) @binding(7) var<storage, read_write> cn: array<f32>;   // (.., B, H)
@group(0) @binding(8) var<storage, read_write> y: array<f32>;    // (B, H), hn of this layer

var<workgroup> parts: array<vec4f, LANES - UNITS + 1u>;  // sums of the lanes that help another

fn sigmoid1(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(clamp(-x, -87.0, 87.0)));
}

// By series near 0, where 1 - 2 / (e^2x + 1) cancels; the built-in is NaN from 89 on some devices.
fn tanh1(x: f32) -> f32 {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, -30.0, 30.0)) + 1.0);
  return select(whole, series, abs(x) < 0.1);
}

// What a unit's gates take from one value of h0.
fn gate_weights(at: u32) -> vec4f {
  let bits = weights[at];
  if (WORDS_W == 2u) {
    return vec4f(unpack2x16float(bits.x), unpack2x16float(bits.y));
  }
  return bitcast<vec4f>(vec4u(bits.xy, bits[WORDS_W - 2u], bits[WORDS_W - 1u]));
}

// The bias of a unit's gates, which is f32 in any case.
fn gate_bias(unit: u32) -> vec4f {
  let at = params.inner * params.width;
  if (WORDS_W == 2u) {
    return bitcast<vec4f>(vec4u(weights[at + 2u * unit].xy, weights[at + 2u * unit + 1u].xy));
  }
  return gate_weights(at + unit);
}

// Four values of h0 of an entry, zeros beyond H.
fn load_h0(begin: u32, k: u32) -> vec4f {
  let at = begin + k;
  let h = vec4f(h0[at], h0[at + 1u], h0[at + 2u], h0[at + 3u]);
  if (ALIGNED) {
    return h;
  }
  return select(vec4f(0.0), h, k + vec4u(0u, 1u, 2u, 3u) < vec4u(params.width));
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = group.x * UNITS + lane % UNITS;
  let weight = min(unit, width - 1u);
  let state = params.slot + group.y * width;
  var sum = vec4f(0.0);
  for (var k = lane / UNITS * 4u; k < params.inner; k += LANES / UNITS * 4u) {
    let at = weight + k * width;
    let w = mat4x4f(
      gate_weights(at),
      gate_weights(at + width),
      gate_weights(at + 2u * width),
      gate_weights(at + 3u * width),
    );
    sum += w * load_h0(state, k);
  }
  if (lane >= UNITS) {
    parts[lane - UNITS] = sum;
  }
  workgroupBarrier();
  if (lane < UNITS && unit < width) {
    for (var at = lane; at < LANES - UNITS; at += UNITS) {
      sum += parts[at];
    }
    sum += gate_bias(unit);
    var row = group.y;
    if (params.lookup == 1u) {
      row = tokens[group.y];
    }
    let z = row * 4u * width + unit;
    let i = sigmoid1(table[z] + sum.x);
    let f = sigmoid1(table[z + width] + sum.y);
    let g = tanh1(table[z + 2u * width] + sum.z);
    let o = sigmoid1(table[z + 3u * width] + sum.w);
    let c = f * c0[state + unit] + i * g;
    let h = o * tanh1(c);
    cn[state + unit] = c;
    hn[state + unit] = h;
    y[group.y * width + unit] = h;
  }
}
