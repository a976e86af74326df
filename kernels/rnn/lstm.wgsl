// The recurrence of an LSTM layer: all directions at once, four batch entries a workgroup.
//   z = x W_ih^T + b_ih + h' W_hh^T + b_hh, in blocks i, f, g, o;  i, f, o = sigmoid(z), g = tanh(z)
//   c = f c' + i g,  h = o tanh(c), with c', h' from the step before
// x W_ih^T + b_ih comes in `tape`; pack.wgsl lays W_hh and b_hh out. A row is one step t of one batch entry b,
// t * time + b * sample, so both layouts of x serve. Steps count in running order; a reversed direction begins at t = T - 1.
// Shapes: B batch, T steps, H units, D directions, N = T B rows. The four entries of a workgroup are the components of
// a vec4f; beyond B they repeat the last entry, and write the same values to the same place.
// Dispatch: forward runs all steps in ceil(B / 4) x D workgroups, one lane a unit (H <= UNITS);
// forward_step runs one in ceil(H / UNITS) x ceil(B / 4) x D workgroups, and hn, cn must not be h0, c0.
// Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000; gate order, names and bias pair of torch.nn.LSTM.

override LANES: u32 = 128u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 128u;  // units a workgroup
override SPAN: u32 = 128u;   // hidden values held in workgroup memory, a multiple of 4; K or more for whole sequences

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
  gates: u32,       // values from one direction's z to the next's
  stride: u32,      // values from one direction's c' or h' to the next's
  memory: u32,      // where c' begins in tape
  hidden: u32,      // where h' begins in tape
  given: u32,       // 1 if h0 and c0 hold the state before the step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  keep: u32,        // 1 to write what backward reads
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tape: array<f32>;  // z (D, N, 4 H), which i, f, g, o replace; c' (D, N, H); h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;   // (D, K + 1, H), the bias last
@group(0) @binding(3) var<storage, read> h0: array<f32>;          // (D, B, H)
@group(0) @binding(4) var<storage, read> c0: array<f32>;          // (D, B, H)
@group(0) @binding(5) var<storage, read> lengths: array<i32>;     // (B)
@group(0) @binding(6) var<storage, read_write> y: array<f32>;     // (N, D H)
@group(0) @binding(7) var<storage, read_write> hn: array<f32>;    // (D, B, H)
@group(0) @binding(8) var<storage, read_write> cn: array<f32>;    // (D, B, H)

var<workgroup> hidden: array<vec4f, SPAN * 2u>;                   // h' and h, taking turns; forward_step: a part of h'
var<workgroup> partial: array<mat4x4f, LANES - UNITS + 1u>;       // sums of the lanes that help another

struct State {
  h: vec4f,
  c: vec4f,
}

// Four batch entries of a direction at one step.
struct Place {
  direction: u32,
  state: vec4u,        // rows of h0, c0, hn, cn
  row: vec4u,          // rows of tape and y
  runs: vec4<bool>,    // before the end of their sequence
}

fn safe_exp(x: vec4f) -> vec4f {
  return select(exp(clamp(x, vec4f(-87.0), vec4f(88.7))), vec4f(0.0), x < vec4f(-87.0));
}

fn sigmoid(x: vec4f) -> vec4f {
  return 1.0 / (1.0 + safe_exp(-x));
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

fn load_c0(at: vec4u) -> vec4f {
  if (params.given == 0u) {
    return vec4f(0.0);
  }
  return vec4f(c0[at.x], c0[at.y], c0[at.z], c0[at.w]);
}

fn store_state(at: vec4u, state: State) {
  hn[at.x] = state.h.x;
  hn[at.y] = state.h.y;
  hn[at.z] = state.h.z;
  hn[at.w] = state.h.w;
  cn[at.x] = state.c.x;
  cn[at.y] = state.c.y;
  cn[at.z] = state.c.z;
  cn[at.w] = state.c.w;
}

// This lane's part of h' W_hh^T for one unit, a column a gate, over `count` values of h' that begin at `base` in `hidden`.
fn lstm_product(weight: u32, base: u32, slice: u32, count: u32) -> mat4x4f {
  let width = params.width;
  var sum = mat4x4f();
  for (var k = slice * 4u; k < count; k += LANES / UNITS * 4u) {
    let at = weight + k * width;
    let w = mat4x4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    let h = mat4x4f(hidden[base + k], hidden[base + k + 1u], hidden[base + k + 2u], hidden[base + k + 3u]);
    sum += h * transpose(w);
  }
  return sum;
}

// Adds the parts of all lanes that share a unit; the first UNITS lanes get the sums.
fn lstm_join(lane: u32, part: mat4x4f) -> mat4x4f {
  var sum = part;
  if (LANES > UNITS) {
    if (lane >= UNITS) {
      partial[lane - UNITS] = part;
    }
    workgroupBarrier();
    if (lane < UNITS) {
      for (var at = lane; at < LANES - UNITS; at += UNITS) {
        sum += partial[at];
      }
    }
  }
  return sum;
}

// One unit's step.
fn lstm_advance(at: Place, unit: u32, sum: mat4x4f, before: State) -> State {
  let width = params.width;
  let bias = weights[(at.direction * (params.inner + 1u) + params.inner) * width + unit];
  let z = at.direction * params.gates + at.row * (4u * width) + unit;
  let i = sigmoid(load_tape(z) + (sum[0] + bias.x));
  let f = sigmoid(load_tape(z + width) + (sum[1] + bias.y));
  let g = safe_tanh(load_tape(z + 2u * width) + (sum[2] + bias.z));
  let o = sigmoid(load_tape(z + 3u * width) + (sum[3] + bias.w));
  let c = f * before.c + i * g;
  let h = o * safe_tanh(c);
  if (params.keep == 1u) {
    store_tape(z, i);
    store_tape(z + width, f);
    store_tape(z + 2u * width, g);
    store_tape(z + 3u * width, o);
    let kept = at.direction * params.stride + at.row * width + unit;
    store_tape(params.memory + kept, before.c);
    store_tape(params.hidden + kept, before.h);
  }
  let out = (at.row * params.directions + at.direction) * width + unit;
  let shown = select(vec4f(0.0), h, at.runs);
  y[out.x] = shown.x;
  y[out.y] = shown.y;
  y[out.z] = shown.z;
  y[out.w] = shown.w;
  return State(select(before.h, h, at.runs), select(before.c, c, at.runs));
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = lane;
  let mine = lane < UNITS && unit < width;
  let weight = group.y * (params.inner + 1u) * width + min(lane % UNITS, width - 1u);
  let at = place(group.y, group.x, 0u).state * width + unit;
  var state = State();
  if (mine) {
    state = State(load_h0(at), load_c0(at));
    hidden[unit] = state.h;
  }
  workgroupBarrier();
  for (var step = 0u; step < params.steps; step++) {
    let base = (step & 1u) * SPAN;
    let sum = lstm_join(lane, lstm_product(weight, base, lane / UNITS, params.inner));
    if (mine) {
      state = lstm_advance(place(group.y, group.x, step), unit, sum, state);
      hidden[SPAN - base + unit] = state.h;
    }
    workgroupBarrier();
  }
  if (mine) {
    store_state(at, state);
  }
}

@compute @workgroup_size(LANES)
fn forward_step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = group.x * UNITS + lane % UNITS;
  let weight = group.z * (params.inner + 1u) * width + min(unit, width - 1u);
  let at = place(group.z, group.y, params.step);
  var part = mat4x4f();
  for (var first = 0u; first < params.inner; first += SPAN) {
    let count = min(SPAN, params.inner - first);
    workgroupBarrier();
    for (var k = lane; k < count; k += LANES) {
      let value = load_h0(at.state * width + min(first + k, width - 1u));
      hidden[k] = select(vec4f(0.0), value, first + k < width);
    }
    workgroupBarrier();
    part += lstm_product(weight + first * width, 0u, lane / UNITS, count);
  }
  let sum = lstm_join(lane, part);
  if (lane < UNITS && unit < width) {
    let state = at.state * width + unit;
    store_state(state, lstm_advance(at, unit, sum, State(load_h0(state), load_c0(state))));
  }
}
