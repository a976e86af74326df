// One step of an Elman layer in one direction, for generation; no gradient.
//   hn = f(table[token] + h0 W_hh^T + b_hh), f tanh or relu
// `table` is either the embedding already multiplied by W_ih^T, b_ih added, a row a token of the vocabulary,
// so that the sampled token selects its row on the device, or the product of a layer's input, a row a batch entry.
// Shapes: B batch, H units, V rows of the table; h0 and hn may hold the states of more layers, at `slot` that of this.
// Dispatch: ceil(H / UNITS) x B workgroups. hn must not be h0.
// Source: Elman 1990, "Finding structure in time"; torch.nn.RNN.

override LANES: u32 = 64u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 16u;   // units a workgroup
override ALIGNED: bool = true; // H is a multiple of 4
override RELU: bool = false; // f is relu instead of tanh
override HALF: bool = false; // weights hold halves, two to a word

struct Params {
  width: u32,   // H
  inner: u32,   // K, H rounded up to a multiple of 4
  slot: u32,    // where the layer's state begins in h0 and hn
  lookup: u32,  // 1 if tokens select rows of table, else batch entry b takes row b
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;      // (V, H)
@group(0) @binding(2) var<storage, read> tokens: array<u32>;     // (B)
@group(0) @binding(3) var<storage, read> weights: array<u32>;    // bits of f32 (K + 1, H), the bias last; of halves (K, H), then the bias (pack.wgsl)
@group(0) @binding(4) var<storage, read> h0: array<f32>;         // (.., B, H)
@group(0) @binding(5) var<storage, read_write> hn: array<f32>;   // (.., B, H)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // (B, H), hn of this layer

var<workgroup> parts: array<f32, LANES - UNITS + 1u>;    // sums of the lanes that help another

// By series near 0, where 1 - 2 / (e^2x + 1) cancels; the built-in is NaN from 89 on some devices.
fn tanh1(x: f32) -> f32 {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, -30.0, 30.0)) + 1.0);
  return select(whole, series, abs(x) < 0.1);
}

// What a unit takes from value k of h0; k = K is the bias.
fn unit_weight(k: u32, unit: u32) -> f32 {
  let row = (params.width + 1u) / 2u;
  if (HALF && k < params.inner) {
    return unpack2x16float(weights[k * row + unit / 2u] >> (16u * (unit % 2u))).x;
  }
  return bitcast<f32>(weights[k * select(params.width, row, HALF) + unit]);
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
  var sum = 0.0;
  for (var k = lane / UNITS * 4u; k < params.inner; k += LANES / UNITS * 4u) {
    let w = vec4f(
      unit_weight(k, weight),
      unit_weight(k + 1u, weight),
      unit_weight(k + 2u, weight),
      unit_weight(k + 3u, weight),
    );
    sum += dot(w, load_h0(state, k));
  }
  if (lane >= UNITS) {
    parts[lane - UNITS] = sum;
  }
  workgroupBarrier();
  if (lane < UNITS && unit < width) {
    for (var at = lane; at < LANES - UNITS; at += UNITS) {
      sum += parts[at];
    }
    sum += unit_weight(params.inner, unit);
    var row = group.y;
    if (params.lookup == 1u) {
      row = tokens[group.y];
    }
    let z = sum + table[row * width + unit];
    var h = max(z, 0.0);
    if (!RELU) {
      h = tanh1(z);
    }
    hn[state + unit] = h;
    y[group.y * width + unit] = h;
  }
}
