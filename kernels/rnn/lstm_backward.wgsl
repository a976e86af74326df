// Backward through time of an LSTM layer (lstm.wgsl, whose rows, steps and vectors of four batch entries it shares).
//   do = dh tanh(c), dc += dh o (1 - tanh(c)^2), di = dc g, df = dc c', dg = dc i, dc' = dc f;  c = f c' + i g
//   dz = di i (1 - i), df f (1 - f), dg (1 - g^2), do o (1 - o);  dh' = dz W_hh
// W_ih, W_hh, the biases and x get their gradients from dz and h' as matrix products over all rows.
// Shapes: B batch, T steps, H units, D directions, N = T B rows.
// Dispatch: backward runs all steps in ceil(B / 4) x D workgroups, one lane a unit (H <= UNITS); backward_step runs one
// in ceil(H / UNITS) x ceil(B / 4) x D workgroups, and at step = T only finishes dh.
// Source: Werbos 1990 (backpropagation through time); Gers et al. 2000.

override LANES: u32 = 128u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 128u;  // units a workgroup
override SPAN: u32 = 128u;   // units held in workgroup memory, a multiple of 4; K or more for whole sequences

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
  given: u32,       // 1 if dh and dc hold the gradient of the state after the last step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  upstream: u32,    // 1 if y has a gradient
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tape: array<f32>;       // i, f, g, o (D, N, 4 H); c' (D, N, H); h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;  // (D, K, H)
@group(0) @binding(3) var<storage, read> dy: array<f32>;         // (N, D H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;    // (B)
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;   // (D, N, 4 H)
@group(0) @binding(6) var<storage, read_write> dh: array<f32>;   // (D, B, H): of hn, replaced by that of h0
@group(0) @binding(7) var<storage, read_write> dc: array<f32>;   // (D, B, H): of cn, replaced by that of c0

var<workgroup> gradient: array<vec4f, SPAN * 4u>;         // dz by unit and gate; backward_step: a part of it
var<workgroup> partial: array<vec4f, LANES - UNITS + 1u>; // sums of the lanes that help another

struct State {
  h: vec4f,
  c: vec4f,
}

// Gradients of the gates' sums of one unit, and what of those of h and c passes by the gates to h' and c'.
struct Gradient {
  i: vec4f,
  f: vec4f,
  g: vec4f,
  o: vec4f,
  state: State,
}

// Four batch entries of a direction at one step.
struct Place {
  direction: u32,
  state: vec4u,        // rows of h0, c0, hn, cn
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

fn load_dz(at: vec4u) -> vec4f {
  return vec4f(dz[at.x], dz[at.y], dz[at.z], dz[at.w]);
}

fn store_dz(at: vec4u, value: vec4f) {
  dz[at.x] = value.x;
  dz[at.y] = value.y;
  dz[at.z] = value.z;
  dz[at.w] = value.w;
}

fn load_gradient(at: vec4u) -> State {
  return State(vec4f(dh[at.x], dh[at.y], dh[at.z], dh[at.w]), vec4f(dc[at.x], dc[at.y], dc[at.z], dc[at.w]));
}

fn store_gradient(at: vec4u, state: State) {
  dh[at.x] = state.h.x;
  dh[at.y] = state.h.y;
  dh[at.z] = state.h.z;
  dh[at.w] = state.h.w;
  dc[at.x] = state.c.x;
  dc[at.y] = state.c.y;
  dc[at.z] = state.c.z;
  dc[at.w] = state.c.w;
}

// This lane's part of dz W_hh for one unit of h', over the first `count` units of `gradient`.
fn lstm_product_back(weight: u32, slice: u32, count: u32) -> vec4f {
  var sum = vec4f(0.0);
  for (var j = slice; j < count; j += LANES / UNITS) {
    let at = j * 4u;
    sum += mat4x4f(gradient[at], gradient[at + 1u], gradient[at + 2u], gradient[at + 3u]) * weights[weight + j * params.width];
  }
  return sum;
}

// Adds the parts of all lanes that share a unit. All lanes are then done with `gradient`.
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

// One unit's step backwards: stores dz. `after` is the gradient of h and c from the steps after.
fn lstm_retreat(at: Place, unit: u32, after: State) -> Gradient {
  let width = params.width;
  let z = at.direction * params.gates + at.row * (4u * width) + unit;
  let i = load_tape(z);
  let f = load_tape(z + width);
  let g = load_tape(z + 2u * width);
  let o = load_tape(z + 3u * width);
  let c = load_tape(params.memory + at.direction * params.stride + at.row * width + unit);
  var h = after.h;
  if (params.upstream == 1u) {
    let out = (at.row * params.directions + at.direction) * width + unit;
    h += vec4f(dy[out.x], dy[out.y], dy[out.z], dy[out.w]);
  }
  let squashed = safe_tanh(f * c + i * g);
  let memory = after.c + h * o * (1.0 - squashed * squashed);
  let nothing = vec4f(0.0);
  let result = Gradient(
    select(nothing, memory * g * i * (1.0 - i), at.runs),
    select(nothing, memory * c * f * (1.0 - f), at.runs),
    select(nothing, memory * i * (1.0 - g * g), at.runs),
    select(nothing, h * squashed * o * (1.0 - o), at.runs),
    State(select(after.h, nothing, at.runs), select(after.c, memory * f, at.runs)),
  );
  store_dz(z, result.i);
  store_dz(z + width, result.f);
  store_dz(z + 2u * width, result.g);
  store_dz(z + 3u * width, result.o);
  return result;
}

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = lane;
  let mine = lane < UNITS && unit < width;
  let weight = group.y * params.inner * width + min(lane % UNITS, width - 1u);
  let at = place(group.y, group.x, 0u).state * width + unit;
  var state = State();
  if (mine && params.given == 1u) {
    state = load_gradient(at);
  }
  for (var step = params.steps; step > 0u; step--) {
    if (mine) {
      let result = lstm_retreat(place(group.y, group.x, step - 1u), unit, state);
      gradient[unit * 4u] = result.i;
      gradient[unit * 4u + 1u] = result.f;
      gradient[unit * 4u + 2u] = result.g;
      gradient[unit * 4u + 3u] = result.o;
      state = result.state;
    }
    workgroupBarrier();
    state.h += join_lanes(lane, lstm_product_back(weight, lane / UNITS, width));
  }
  if (mine) {
    store_gradient(at, state);
  }
}

@compute @workgroup_size(LANES)
fn backward_step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = group.x * UNITS + lane % UNITS;
  let weight = group.z * params.inner * width + min(unit, width - 1u);
  var part = vec4f(0.0);
  if (params.step > 0u) {
    let z = group.z * params.gates + place(group.z, group.y, params.steps - params.step).row * (4u * width);
    for (var first = 0u; first < width; first += SPAN) {
      let count = min(SPAN, width - first);
      workgroupBarrier();
      for (var i = lane; i < SPAN * 4u; i += LANES) {
        let j = i % SPAN;
        let gate = i / SPAN;
        if (j < count) {
          gradient[j * 4u + gate] = load_dz(z + gate * width + first + j);
        }
      }
      workgroupBarrier();
      part += lstm_product_back(weight + first * width, lane / UNITS, count);
    }
  }
  let sum = join_lanes(lane, part);
  if (lane < UNITS && unit < width) {
    let at = (group.z * params.batch + min(group.y * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.batch - 1u))) * width + unit;
    var state = State();
    if (params.step > 0u || params.given == 1u) {
      state = load_gradient(at);
    }
    state.h += sum;
    if (params.step < params.steps) {
      state = lstm_retreat(place(group.z, group.y, params.steps - 1u - params.step), unit, state).state;
    }
    store_gradient(at, state);
  }
}
