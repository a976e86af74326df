// The recurrence of an Elman layer: all directions at once, four batch entries a workgroup.
//   h = f(x W_ih^T + b_ih + h' W_hh^T + b_hh), f tanh or relu, with h' from the step before
// x W_ih^T + b_ih comes in `tape`; pack.wgsl lays W_hh and b_hh out. A row is one step t of one batch entry b,
// t * time + b * sample, so both layouts of x serve. Steps count in running order; a reversed direction begins at t = T - 1.
// Shapes: B batch, T steps, H units, D directions, N = T B rows. The four entries of a workgroup are the components of
// a vec4f; beyond B they repeat the last entry, and write the same values to the same place.
// Dispatch: forward runs all steps in ceil(B / 4) x D workgroups, one lane a unit (H <= UNITS);
// forward_step runs one in ceil(H / UNITS) x ceil(B / 4) x D workgroups, and hn must not be h0.
// Source: Elman 1990, "Finding structure in time"; names and bias pair of torch.nn.RNN.

override LANES: u32 = 128u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 128u;  // units a workgroup
override SPAN: u32 = 128u;   // hidden values held in workgroup memory, a multiple of 4; K or more for whole sequences
override RELU: bool = false; // f is relu instead of tanh

struct Params {
  steps: u32,       // T
  batch: u32,       // B
  width: u32,       // H
  inner: u32,       // K, H rounded up to a multiple of 4
  directions: u32,  // D
  reversed: u32,    // bit d is set if direction d runs from the last step to the first
  step: u32,        // steps done so far, where an entry point runs one
  time: u32,        // rows from a step to the next
  sample: u32,      // rows from a batch entry to the next
  gates: u32,       // values from one direction's sums to the next's
  stride: u32,      // values from one direction's h' to the next's
  hidden: u32,      // where h' begins in tape
  given: u32,       // 1 if h0 holds the state before the step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  keep: u32,        // 1 to write what backward reads
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tape: array<f32>;  // x W_ih^T + b_ih (D, N, H), which h replaces; h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<f32>;     // (D, K + 1, H), the bias last
@group(0) @binding(3) var<storage, read> h0: array<f32>;          // (D, B, H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;     // (B)
@group(0) @binding(5) var<storage, read_write> y: array<f32>;     // (N, D H)
@group(0) @binding(6) var<storage, read_write> hn: array<f32>;    // (D, B, H)

var<workgroup> hidden: array<vec4f, SPAN * 2u>;                   // h' and h, taking turns; forward_step: a part of h'
var<workgroup> partial: array<vec4f, LANES - UNITS + 1u>;        // sums of the lanes that help another

// Four batch entries of a direction at one step.
struct Place {
  direction: u32,
  state: vec4u,        // rows of h0 and hn
  row: vec4u,          // rows of tape and y
  runs: vec4<bool>,    // before the end of their sequence
}

fn safe_tanh(x: vec4f) -> vec4f {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, vec4f(-30.0), vec4f(30.0))) + 1.0);
  return select(whole, series, abs(x) < vec4f(0.1));
}

fn place(direction: u32, tile: u32, step: u32) -> Place {
  let backwards = ((params.reversed >> direction) & 1u) == 1u;
  let t = select(step, params.steps - 1u - step, backwards);
  let b = min(tile * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.batch - 1u));
  var runs = vec4<bool>(true);
  if (params.ragged == 1u) {
    runs = vec4i(i32(t)) < vec4i(lengths[b.x], lengths[b.y], lengths[b.z], lengths[b.w]);
  }
  return Place(direction, direction * params.batch + b, t * params.time + b * params.sample, runs);
}

fn load_tape(at: vec4u) -> vec4f {
  return vec4f(tape[at.x], tape[at.y], tape[at.z], tape[at.w]);
}

fn store_tape(at: vec4u, value: vec4f) {
  tape[at.x] = value.x;
  tape[at.y] = value.y;
  tape[at.z] = value.z;
  tape[at.w] = value.w;
}

fn load_h0(at: vec4u) -> vec4f {
  if (params.given == 0u) {
    return vec4f(0.0);
  }
  return vec4f(h0[at.x], h0[at.y], h0[at.z], h0[at.w]);
}

fn store_hn(at: vec4u, value: vec4f) {
  hn[at.x] = value.x;
  hn[at.y] = value.y;
  hn[at.z] = value.z;
  hn[at.w] = value.w;
}

// This lane's part of h' W_hh^T for one unit, over `count` values of h' that begin at `base` in `hidden`.
fn rnn_product(weight: u32, base: u32, slice: u32, count: u32) -> vec4f {
  let width = params.width;
  var sum = vec4f(0.0);
  for (var k = slice * 4u; k < count; k += LANES / UNITS * 4u) {
    let at = weight + k * width;
    let w = vec4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    sum += mat4x4f(hidden[base + k], hidden[base + k + 1u], hidden[base + k + 2u], hidden[base + k + 3u]) * w;
  }
  return sum;
}

// Adds the parts of all lanes that share a unit; the first UNITS lanes get the sums.
fn join_lanes(lane: u32, part: vec4f) -> vec4f {
  if (lane >= UNITS) {
    partial[lane - UNITS] = part;
  }
  workgroupBarrier();
  var sum = part;
  if (lane < UNITS) {
    for (var at = lane; at < LANES - UNITS; at += UNITS) {
      sum += partial[at];
    }
  }
  return sum;
}

// One unit's step.
fn rnn_advance(at: Place, unit: u32, sum: vec4f, before: vec4f) -> vec4f {
  let width = params.width;
  let bias = weights[(at.direction * (params.inner + 1u) + params.inner) * width + unit];
  let a = at.direction * params.gates + at.row * width + unit;
  let z = load_tape(a) + (sum + bias);
  var h = max(z, vec4f(0.0));
  if (!RELU) {
    h = safe_tanh(z);
  }
  if (params.keep == 1u) {
    store_tape(a, h);
    store_tape(params.hidden + at.direction * params.stride + at.row * width + unit, before);
  }
  let out = (at.row * params.directions + at.direction) * width + unit;
  let shown = select(vec4f(0.0), h, at.runs);
  y[out.x] = shown.x;
  y[out.y] = shown.y;
  y[out.z] = shown.z;
  y[out.w] = shown.w;
  return select(before, h, at.runs);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = lane;
  let mine = lane < UNITS && unit < width;
  let weight = group.y * (params.inner + 1u) * width + min(lane % UNITS, width - 1u);
  let at = place(group.y, group.x, 0u).state * width + unit;
  var state = vec4f(0.0);
  if (mine) {
    state = load_h0(at);
    hidden[unit] = state;
  }
  workgroupBarrier();
  for (var step = 0u; step < params.steps; step++) {
    let base = (step & 1u) * SPAN;
    let sum = join_lanes(lane, rnn_product(weight, base, lane / UNITS, params.inner));
    if (mine) {
      state = rnn_advance(place(group.y, group.x, step), unit, sum, state);
      hidden[SPAN - base + unit] = state;
    }
    workgroupBarrier();
  }
  if (mine) {
    store_hn(at, state);
  }
}

@compute @workgroup_size(LANES)
fn forward_step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = group.x * UNITS + lane % UNITS;
  let weight = group.z * (params.inner + 1u) * width + min(unit, width - 1u);
  let at = place(group.z, group.y, params.step);
  var part = vec4f(0.0);
  for (var first = 0u; first < params.inner; first += SPAN) {
    let count = min(SPAN, params.inner - first);
    workgroupBarrier();
    for (var k = lane; k < count; k += LANES) {
      let value = load_h0(at.state * width + min(first + k, width - 1u));
      hidden[k] = select(vec4f(0.0), value, first + k < width);
    }
    workgroupBarrier();
    part += rnn_product(weight + first * width, 0u, lane / UNITS, count);
  }
  let sum = join_lanes(lane, part);
  if (lane < UNITS && unit < width) {
    let state = at.state * width + unit;
    store_hn(state, rnn_advance(at, unit, sum, load_h0(state)));
  }
}
