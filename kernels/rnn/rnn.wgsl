// The recurrence of an Elman layer: all directions at once, four batch entries a workgroup.
//   h = f(x W_ih^T + b_ih + h' W_hh^T + b_hh), f tanh or relu, with h' from the step before
// x W_ih^T + b_ih comes in `tape`; pack.wgsl lays W_hh and b_hh out. A row is one step t of one batch entry b,
// t * time + b * sample, so both layouts of x serve. Steps count in running order; a reversed direction begins at t = T - 1.
// Shapes: B batch, T steps, H units, K = H rounded up to a multiple of 4, D directions, N = T B rows.
// Dispatch: ceil(H / UNITS) x ceil(B / 4) x D workgroups. One workgroup along x (UNITS >= H) may run any number of steps,
// and a lane keeps its unit; with more of them each launch runs one step, with SOURCE 2, and hn must not be h0.
// Source: Elman 1990, "Finding structure in time"; names and bias pair of torch.nn.RNN.

override LANES: u32 = 64u;      // invocations a workgroup, a multiple of UNITS; LANES / UNITS of them share the sums of a unit
override UNITS: u32 = 32u;      // units a workgroup: H or more for whole sequences
override SPAN: u32 = 32u;       // hidden values an entry in workgroup memory: K with SOURCE 0, else 1
override SOURCE: u32 = 0u;      // where h' is read: 0 workgroup memory, 1 tape, 2 h0
override ALIGNED: bool = true;  // H is a multiple of 4
override RELU: bool = false;    // f is relu instead of tanh

struct Params {
  steps: u32,       // T
  batch: u32,       // B
  width: u32,       // H
  inner: u32,       // K
  directions: u32,  // D
  reversed: u32,    // bit d is set if direction d runs from the last step to the first
  first: u32,       // steps done before this launch, and after it
  last: u32,
  time: u32,        // rows from a step to the next
  sample: u32,      // rows from a batch entry to the next
  gates: u32,       // values from one direction's z to the next's
  stride: u32,      // values from one direction's h' to the next's
  hidden: u32,      // where h' begins in tape
  given: u32,       // 1 if h0 holds the state before this launch; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  keep: u32,        // 1 to write what backward reads
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> tape: array<f32>;  // z (D, N, H), which h replaces; h' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<f32>;     // (D, K + 1, H), the bias last
@group(0) @binding(3) var<storage, read> h0: array<f32>;          // (D, B, H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;     // (B)
@group(0) @binding(5) var<storage, read_write> y: array<f32>;     // (N, D H)
@group(0) @binding(6) var<storage, read_write> hn: array<f32>;    // (D, B, H)

var<workgroup> hidden: array<f32, SPAN * 8u>;                // h' and h of four entries, taking turns
var<workgroup> partial: array<vec4f, LANES - UNITS + 1u>;    // sums of the lanes that help another

// By series near 0, where 1 - 2 / (e^2x + 1) cancels; the built-in is NaN from 89 on some devices.
fn tanh1(x: f32) -> f32 {
  let squared = x * x;
  let series = x * (1.0 - squared * (1.0 / 3.0 - squared * (2.0 / 15.0)));
  let whole = 1.0 - 2.0 / (exp(clamp(2.0 * x, -30.0, 30.0)) + 1.0);
  return select(whole, series, abs(x) < 0.1);
}

// The step at which a direction is after so many steps.
fn time_of(direction: u32, done: u32) -> u32 {
  return select(done, params.steps - 1u - done, ((params.reversed >> direction) & 1u) == 1u);
}

// Rows of four batch entries from `first` on; beyond B the last entry stands in.
fn rows_of(t: u32, first: u32) -> vec4u {
  return t * params.time + min(first + vec4u(0u, 1u, 2u, 3u), vec4u(params.batch - 1u)) * params.sample;
}

// Whether an entry's sequence has a step t.
fn runs(t: u32, entry: u32) -> bool {
  return params.ragged == 0u || i32(t) < lengths[entry];
}

// Four values of h' of an entry.
fn load_hidden(begin: u32, k: u32) -> vec4f {
  let at = begin + k;
  if (SOURCE == 0u) {
    return vec4f(hidden[at], hidden[at + 1u], hidden[at + 2u], hidden[at + 3u]);
  }
  var h = vec4f(0.0);
  if (SOURCE == 1u) {
    h = vec4f(tape[at], tape[at + 1u], tape[at + 2u], tape[at + 3u]);
  } else {
    h = vec4f(h0[at], h0[at + 1u], h0[at + 2u], h0[at + 3u]);
  }
  if (!ALIGNED) {
    h = select(vec4f(0.0), h, k + vec4u(0u, 1u, 2u, 3u) < vec4u(params.width));
  }
  return h;
}

// This lane's part of h' W_hh^T for one unit, a component an entry.
fn rnn_product(weight: u32, begin: vec4u, slice: u32) -> vec4f {
  let width = params.width;
  var sum = vec4f(0.0);
  for (var k = slice * 4u; k < params.inner; k += LANES / UNITS * 4u) {
    let at = weight + k * width;
    let w = vec4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    let h = mat4x4f(load_hidden(begin.x, k), load_hidden(begin.y, k), load_hidden(begin.z, k), load_hidden(begin.w, k));
    sum += w * h;
  }
  return sum;
}

// Adds the parts of all lanes that share their units; the first lanes get the sums.
fn join_lanes(lane: u32, owners: u32, part: vec4f) -> vec4f {
  var sum = part;
  if (LANES > owners) {
    if (lane >= owners) {
      partial[lane - owners] = part;
    }
    workgroupBarrier();
    if (lane < owners) {
      for (var at = lane; at < LANES - owners; at += owners) {
        sum += partial[at];
      }
    }
  }
  return sum;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let direction = group.z;
  let entry = group.y * 4u;
  let entries = min(4u, params.batch - entry);
  let unit = group.x * UNITS + lane % UNITS;
  let mine = lane < UNITS && unit < width;
  let weight = direction * (params.inner + 1u) * width + min(unit, width - 1u);
  let bias = weights[weight + params.inner * width];
  let kept = params.hidden + direction * params.stride;
  let state = (direction * params.batch + entry) * width + unit;
  var h = vec4f(0.0);
  if (mine) {
    let rows = rows_of(time_of(direction, params.first), entry);
    for (var r = 0u; r < entries; r++) {
      if (params.given == 1u) {
        h[r] = h0[state + r * width];
      }
      if (SOURCE == 0u) {
        hidden[r * SPAN + unit] = h[r];
      }
      if (SOURCE == 1u) {
        tape[kept + rows[r] * width + unit] = h[r];
      }
    }
  }
  storageBarrier();
  workgroupBarrier();
  for (var step = params.first; step < params.last; step++) {
    let t = time_of(direction, step);
    let rows = rows_of(t, entry);
    let turn = ((step - params.first) & 1u) * 4u * SPAN;
    var begin = turn + vec4u(0u, 1u, 2u, 3u) * SPAN;
    if (SOURCE == 1u) {
      begin = kept + rows * width;
    }
    if (SOURCE == 2u) {
      begin = (direction * params.batch + min(entry + vec4u(0u, 1u, 2u, 3u), vec4u(params.batch - 1u))) * width;
    }
    var part = vec4f();
    if (SOURCE < 2u || params.given == 1u) {
      part = rnn_product(weight, begin, lane / UNITS);
    }
    let sums = join_lanes(lane, UNITS, part);
    if (mine) {
      let next = rows_of(time_of(direction, min(step + 1u, params.steps - 1u)), entry);
      for (var r = 0u; r < entries; r++) {
        let z = direction * params.gates + rows[r] * width + unit;
        let sum = tape[z] + sums[r] + bias;
        var h_next = max(sum, 0.0);
        if (!RELU) {
          h_next = tanh1(sum);
        }
        if (params.keep == 1u) {
          tape[z] = h_next;
          if (SOURCE != 1u) {
            tape[kept + rows[r] * width + unit] = h[r];
          }
        }
        let live = runs(t, entry + r);
        y[(rows[r] * params.directions + direction) * width + unit] = select(0.0, h_next, live);
        h[r] = select(h[r], h_next, live);
        if (SOURCE == 0u) {
          hidden[4u * SPAN - turn + r * SPAN + unit] = h[r];
        }
        if (SOURCE == 1u && step + 1u < params.steps) {
          tape[kept + next[r] * width + unit] = h[r];
        }
      }
    }
    storageBarrier();
    workgroupBarrier();
  }
  if (mine) {
    for (var r = 0u; r < entries; r++) {
      hn[state + r * width] = h[r];
    }
  }
}
