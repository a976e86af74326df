// Backward through time of a GRU layer (gru.wgsl, whose rows, steps and vectors of four batch entries it shares).
//   dn = dh (1 - z) (1 - n^2), dz = dh (h' - n) z (1 - z), dr = dn b_n r (1 - r);  da = dr, dz, dn;  db = dr, dz, dn r
//   dh' = dh z + db W_hh
// W_ih, b_ih and x get their gradients from da, W_hh and b_hh theirs from db and h', as matrix products over all rows.
// Shapes: B batch, T steps, H units, D directions, N = T B rows.
// Dispatch: backward runs all steps in ceil(B / 4) x D workgroups, one lane a unit (H <= UNITS); backward_step runs one
// in ceil(H / UNITS) x ceil(B / 4) x D workgroups, and at step = T only finishes dh.
// Source: Werbos 1990 (backpropagation through time); Cho et al. 2014.

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
  gates: u32,       // values from one direction's a to the next's
  stride: u32,      // values from one direction's b_n or h' to the next's
  memory: u32,      // where b_n begins in tape
  hidden: u32,      // where h' begins in tape
  given: u32,       // 1 if dh holds the gradient of the state after the last step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  upstream: u32,    // 1 if y has a gradient
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tape: array<f32>;       // r, z, n (D, N, 3 H); b_n (D, N, H); h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;  // (D, K, H)
@group(0) @binding(3) var<storage, read> dy: array<f32>;         // (N, D H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;    // (B)
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;   // da (D, N, 3 H)
@group(0) @binding(6) var<storage, read_write> db: array<f32>;   // db (D, N, 3 H)
@group(0) @binding(7) var<storage, read_write> dh: array<f32>;   // (D, B, H): of hn, replaced by that of h0

var<workgroup> gradient: array<vec4f, SPAN * 3u>;         // db by unit and gate; backward_step: a part of it
var<workgroup> partial: array<vec4f, LANES - UNITS + 1u>; // sums of the lanes that help another

// Gradients of h' W_hh^T + b_hh of one unit, and what of that of h passes by it to h'.
struct Gradient {
  r: vec4f,
  z: vec4f,
  n: vec4f,
  h: vec4f,
}

// Four batch entries of a direction at one step.
struct Place {
  direction: u32,
  state: vec4u,        // rows of dh
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

fn load_db(at: vec4u) -> vec4f {
  return vec4f(db[at.x], db[at.y], db[at.z], db[at.w]);
}

fn store_db(at: vec4u, value: vec4f) {
  db[at.x] = value.x;
  db[at.y] = value.y;
  db[at.z] = value.z;
  db[at.w] = value.w;
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

// This lane's part of db W_hh for one unit of h', over the first `count` units of `gradient`.
fn gru_product_back(weight: u32, slice: u32, count: u32) -> vec4f {
  var sum = vec4f(0.0);
  for (var j = slice; j < count; j += LANES / UNITS) {
    let at = j * 3u;
    sum += mat3x4f(gradient[at], gradient[at + 1u], gradient[at + 2u]) * weights[weight + j * params.width].xyz;
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

// One unit's step backwards: stores da and db. `after` is the gradient of h from the steps after.
fn gru_retreat(at: Place, unit: u32, after: vec4f) -> Gradient {
  let width = params.width;
  let a = at.direction * params.gates + at.row * (3u * width) + unit;
  let kept = at.direction * params.stride + at.row * width + unit;
  let r = load_tape(a);
  let z = load_tape(a + width);
  let n = load_tape(a + 2u * width);
  var h = after;
  if (params.upstream == 1u) {
    let out = (at.row * params.directions + at.direction) * width + unit;
    h += vec4f(dy[out.x], dy[out.y], dy[out.z], dy[out.w]);
  }
  let nothing = vec4f(0.0);
  let new_sum = select(nothing, h * (1.0 - z) * (1.0 - n * n), at.runs);
  let update_sum = select(nothing, h * (load_tape(params.hidden + kept) - n) * z * (1.0 - z), at.runs);
  let reset_sum = new_sum * load_tape(params.memory + kept) * r * (1.0 - r);
  store_dz(a, reset_sum);
  store_dz(a + width, update_sum);
  store_dz(a + 2u * width, new_sum);
  store_db(a, reset_sum);
  store_db(a + width, update_sum);
  store_db(a + 2u * width, new_sum * r);
  return Gradient(reset_sum, update_sum, new_sum * r, select(after, h * z, at.runs));
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
      let result = gru_retreat(place(group.y, group.x, step - 1u), unit, state);
      gradient[unit * 3u] = result.r;
      gradient[unit * 3u + 1u] = result.z;
      gradient[unit * 3u + 2u] = result.n;
      state = result.h;
    }
    workgroupBarrier();
    state += join_lanes(lane, gru_product_back(weight, lane / UNITS, width));
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
    let b = group.z * params.gates + place(group.z, group.y, params.steps - params.step).row * (3u * width);
    for (var first = 0u; first < width; first += SPAN) {
      let count = min(SPAN, width - first);
      workgroupBarrier();
      for (var i = lane; i < SPAN * 3u; i += LANES) {
        let j = i % SPAN;
        let gate = i / SPAN;
        if (j < count) {
          gradient[j * 3u + gate] = load_db(b + gate * width + first + j);
        }
      }
      workgroupBarrier();
      part += gru_product_back(weight + first * width, lane / UNITS, count);
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
      state = gru_retreat(place(group.z, group.y, params.steps - 1u - params.step), unit, state).h;
    }
    store_dh(at, state);
  }
}
