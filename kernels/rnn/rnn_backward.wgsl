// Backward through time of an Elman layer (rnn.wgsl, whose rows, steps and vectors of four batch entries it shares).
//   dz = dh (1 - h^2), or dh where h > 0 with relu;  dh' = dz W_hh
// W_ih, W_hh, the biases and x get their gradients from dz and h' as matrix products over all rows.
// Shapes: B batch, T steps, H units, D directions, N = T B rows.
// Dispatch: backward runs all steps in ceil(B / 4) x D workgroups, one lane a unit (H <= UNITS); backward_step runs one
// in ceil(H / UNITS) x ceil(B / 4) x D workgroups, and at step = T only finishes dh.
// Source: Werbos 1990 (backpropagation through time); Elman 1990.

override LANES: u32 = 128u;  // invocations a workgroup, a multiple of UNITS; LANES / UNITS lanes share the inner sum of a unit
override UNITS: u32 = 128u;  // units a workgroup
override SPAN: u32 = 128u;   // units held in workgroup memory, a multiple of 4; K or more for whole sequences
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
  given: u32,       // 1 if dh holds the gradient of the state after the last step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  upstream: u32,    // 1 if y has a gradient
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tape: array<f32>;      // h (D, N, H); h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<f32>;   // (D, K, H)
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // (N, D H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;   // (B)
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;  // (D, N, H)
@group(0) @binding(6) var<storage, read_write> dh: array<f32>;  // (D, B, H): of hn, replaced by that of h0

var<workgroup> gradient: array<vec4f, SPAN>;              // dz by unit; backward_step: a part of it
var<workgroup> partial: array<vec4f, LANES - UNITS + 1u>; // sums of the lanes that help another

struct Gradient {
  z: vec4f,
  h: vec4f,  // what of the gradient of h stays with h'
}

// Four batch entries of a direction at one step.
struct Place {
  direction: u32,
  state: vec4u,        // rows of dh
  row: vec4u,          // rows of tape and y
  runs: vec4<bool>,    // before the end of their sequence
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

fn load_dh(at: vec4u) -> vec4f {
  return vec4f(dh[at.x], dh[at.y], dh[at.z], dh[at.w]);
}

fn store_dh(at: vec4u, value: vec4f) {
  dh[at.x] = value.x;
  dh[at.y] = value.y;
  dh[at.z] = value.z;
  dh[at.w] = value.w;
}

// This lane's part of dz W_hh for one unit of h', over the first `count` units of `gradient`.
fn rnn_product_back(weight: u32, slice: u32, count: u32) -> vec4f {
  let width = params.width;
  var sum = vec4f(0.0);
  for (var j = slice * 4u; j < count; j += LANES / UNITS * 4u) {
    let at = weight + j * width;
    let w = vec4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    sum += mat4x4f(gradient[j], gradient[j + 1u], gradient[j + 2u], gradient[j + 3u]) * w;
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

// One unit's step backwards: stores dz. `after` is the gradient of h from the steps after.
fn rnn_retreat(at: Place, unit: u32, after: vec4f) -> Gradient {
  let width = params.width;
  let z = at.direction * params.gates + at.row * width + unit;
  let h = load_tape(z);
  var slope = select(vec4f(0.0), vec4f(1.0), h > vec4f(0.0));
  if (!RELU) {
    slope = 1.0 - h * h;
  }
  var gradient_h = after;
  if (params.upstream == 1u) {
    let out = (at.row * params.directions + at.direction) * width + unit;
    gradient_h += vec4f(dy[out.x], dy[out.y], dy[out.z], dy[out.w]);
  }
  let gradient_z = select(vec4f(0.0), gradient_h * slope, at.runs);
  store_dz(z, gradient_z);
  return Gradient(gradient_z, select(after, vec4f(0.0), at.runs));
}

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = lane;
  let mine = lane < UNITS && unit < width;
  let weight = group.y * params.inner * width + min(lane % UNITS, width - 1u);
  let at = place(group.y, group.x, 0u).state * width + unit;
  var state = vec4f(0.0);
  if (mine && params.given == 1u) {
    state = load_dh(at);
  }
  for (var step = params.steps; step > 0u; step--) {
    if (mine) {
      let result = rnn_retreat(place(group.y, group.x, step - 1u), unit, state);
      gradient[unit] = result.z;
      state = result.h;
    }
    workgroupBarrier();
    state += join_lanes(lane, rnn_product_back(weight, lane / UNITS, params.inner));
  }
  if (mine) {
    store_dh(at, state);
  }
}

@compute @workgroup_size(LANES)
fn backward_step(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let unit = group.x * UNITS + lane % UNITS;
  let weight = group.z * params.inner * width + min(unit, width - 1u);
  var part = vec4f(0.0);
  if (params.step > 0u) {
    let z = group.z * params.gates + place(group.z, group.y, params.steps - params.step).row * width;
    for (var first = 0u; first < params.inner; first += SPAN) {
      let count = min(SPAN, params.inner - first);
      workgroupBarrier();
      for (var j = lane; j < count; j += LANES) {
        gradient[j] = select(vec4f(0.0), load_dz(z + min(first + j, width - 1u)), first + j < width);
      }
      workgroupBarrier();
      part += rnn_product_back(weight + first * width, lane / UNITS, count);
    }
  }
  let sum = join_lanes(lane, part);
  if (lane < UNITS && unit < width) {
    let at = (group.z * params.batch + min(group.y * 4u + vec4u(0u, 1u, 2u, 3u), vec4u(params.batch - 1u))) * width + unit;
    var state = sum;
    if (params.step > 0u || params.given == 1u) {
      state += load_dh(at);
    }
    if (params.step < params.steps) {
      state = rnn_retreat(place(group.z, group.y, params.steps - 1u - params.step), unit, state).h;
    }
    store_dh(at, state);
  }
}
