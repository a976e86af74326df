// Backward through time of an LSTM layer (lstm.wgsl, whose rows, steps and groups of four batch entries it shares).
//   do = dh tanh(c), dc += dh o (1 - tanh(c)^2), di = dc g, df = dc c', dg = dc i, dc' = dc f;  c = f c' + i g
//   dz = di i (1 - i), df f (1 - f), dg (1 - g^2), do o (1 - o);  dh' = dz W_hh
// W_ih, W_hh, the biases and x get their gradients from dz and h' as matrix products over all rows.
// A lane multiplies for four neighbouring units; then all lanes share the units and entries of the workgroup.
// Shapes: B batch, T steps, H units, K = H rounded up to a multiple of 4, J = 4 H likewise, D directions, N = T B rows.
// Dispatch: ceil(H / UNITS) x ceil(B / 4) x D workgroups. Steps are done from the last to the first, and a T + 1st only finishes
// dh. One workgroup along x (UNITS >= H) may run any number; with more of them each launch runs one, without SHARED.
// Source: Werbos 1990 (backpropagation through time); Gers et al. 2000.

override LANES: u32 = 32u;      // invocations a workgroup, a multiple of UNITS / 4
override UNITS: u32 = 32u;      // units a workgroup, a multiple of 4: H or more for whole sequences
override SPAN: u32 = 32u;       // units in workgroup memory: UNITS with SHARED, else 1
override SHARED: bool = true;   // dz of a step and dh are handed on in workgroup memory

struct Params {
  steps: u32,       // T
  batch: u32,       // B
  width: u32,       // H
  inner: u32,       // K
  directions: u32,  // D
  reversed: u32,    // bit d is set if direction d runs from the last step to the first
  first: u32,       // steps done before this launch, and after it, up to T + 1
  last: u32,
  time: u32,        // rows from a step to the next
  sample: u32,      // rows from a batch entry to the next
  gates: u32,       // values from one direction's z to the next's
  stride: u32,      // values from one direction's c' to the next's
  memory: u32,      // where c' begins in tape
  given: u32,       // 1 if dh and dc hold the gradient of the state after the last step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  upstream: u32,    // 1 if y has a gradient
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tape: array<f32>;       // i, f, g, o (D, N, 4 H); h' (D, N, H); c' (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;  // (D, J, K / 4)
@group(0) @binding(3) var<storage, read> dy: array<f32>;         // (N, D H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;    // (B)
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;   // (D, N, 4 H)
@group(0) @binding(6) var<storage, read_write> dh: array<f32>;   // (D, B, H): of hn, replaced by that of h0
@group(0) @binding(7) var<storage, read_write> dc: array<f32>;   // (D, B, H): of cn, replaced by that of c0

var<workgroup> gradient: array<f32, SPAN * 16u>;                // dz of four entries
var<workgroup> carry: array<f32, SPAN * 4u>;                    // dh of four entries
var<workgroup> partial: array<mat4x4f, LANES - UNITS / 4u + 1u>; // sums of the lanes that help another

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

// Four values of dz of an entry.
fn lstm_gradient(begin: u32, m: u32) -> vec4f {
  let at = begin + m;
  if (SHARED) {
    return vec4f(gradient[at], gradient[at + 1u], gradient[at + 2u], gradient[at + 3u]);
  }
  return vec4f(dz[at], dz[at + 1u], dz[at + 2u], dz[at + 3u]);
}

// This lane's part of dz W_hh for four neighbouring units, a column an entry.
fn lstm_product_back(weight: u32, begin: vec4u, slice: u32, slices: u32) -> mat4x4f {
  let width = params.inner / 4u;
  var sum = mat4x4f();
  for (var m = slice * 4u; m < 4u * params.width; m += slices * 4u) {
    let at = weight + m * width;
    let w = mat4x4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    let d = mat4x4f(lstm_gradient(begin.x, m), lstm_gradient(begin.y, m), lstm_gradient(begin.z, m), lstm_gradient(begin.w, m));
    sum += w * d;
  }
  return sum;
}

// Adds the parts of all lanes that share their units; the first lanes get the sums.
fn join_lanes(lane: u32, owners: u32, part: mat4x4f) -> mat4x4f {
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

// The gradient of h of an entry in this workgroup, as it is handed on from step to step.
fn load_carry(at: u32, state: u32) -> f32 {
  if (SHARED) {
    return carry[at];
  }
  return dh[state];
}

fn store_carry(at: u32, state: u32, value: f32) {
  if (SHARED) {
    carry[at] = value;
  } else {
    dh[state] = value;
  }
}

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let width = params.width;
  let direction = group.z;
  let entry = group.y * 4u;
  let entries = min(4u, params.batch - entry);
  let unit0 = group.x * UNITS;
  let owners = UNITS / 4u;
  let slices = LANES / owners;
  let quad = lane % owners * 4u;
  let weight = direction * 4u * params.width * (params.inner / 4u) + min(unit0 + quad, params.inner - 4u) / 4u;
  let state0 = (direction * params.batch + entry) * width;
  for (var task = lane; task < UNITS * entries; task += LANES) {
    let unit = unit0 + task % UNITS;
    let state = state0 + task / UNITS * width + unit;
    if (unit < width) {
      let given = params.first > 0u || params.given == 1u;
      if (SHARED || !given) {
        store_carry(task, state, select(0.0, dh[state], given));
      }
      if (!given) {
        dc[state] = 0.0;
      }
    }
  }
  storageBarrier();
  workgroupBarrier();
  for (var done = params.first; done < params.last; done++) {
    if (done > 0u) {
      var begin = vec4u(0u, 1u, 2u, 3u) * (4u * SPAN);
      if (!SHARED) {
        begin = direction * params.gates + rows_of(time_of(direction, params.steps - done), entry) * (4u * width);
      }
      let sums = join_lanes(lane, owners, lstm_product_back(weight, begin, lane / owners, slices));
      if (lane < owners) {
        for (var r = 0u; r < entries; r++) {
          for (var i = 0u; i < min(4u, width - min(width, unit0 + quad)); i++) {
            let at = r * UNITS + quad + i;
            let state = state0 + r * width + unit0 + quad + i;
            store_carry(at, state, load_carry(at, state) + sums[r][i]);
          }
        }
      }
      storageBarrier();
      workgroupBarrier();
    }
    if (done < params.steps) {
      let t = time_of(direction, params.steps - 1u - done);
      for (var task = lane; task < UNITS * entries; task += LANES) {
        let unit = unit0 + task % UNITS;
        let r = task / UNITS;
        if (unit < width) {
          let row = t * params.time + (entry + r) * params.sample;
          let state = state0 + r * width + unit;
          let live = runs(t, entry + r);
          let after = load_carry(task, state);
          var h_gradient = after;
          if (params.upstream == 1u) {
            h_gradient += dy[(row * params.directions + direction) * width + unit];
          }
          let z = direction * params.gates + row * 4u * width + unit;
          let i = tape[z];
          let f = tape[z + width];
          let g = tape[z + 2u * width];
          let o = tape[z + 3u * width];
          let c = tape[params.memory + direction * params.stride + row * width + unit];
          let squashed = tanh1(f * c + i * g);
          let c_gradient = dc[state] + h_gradient * o * (1.0 - squashed * squashed);
          var sums = vec4f(c_gradient * g * i * (1.0 - i), c_gradient * c * f * (1.0 - f), c_gradient * i * (1.0 - g * g), h_gradient * squashed * o * (1.0 - o));
          sums = select(vec4f(0.0), sums, live);
          for (var gate = 0u; gate < 4u; gate++) {
            dz[z + gate * width] = sums[gate];
            if (SHARED) {
              gradient[r * 4u * SPAN + gate * width + unit] = sums[gate];
            }
          }
          dc[state] = select(dc[state], c_gradient * f, live);
          store_carry(task, state, select(after, 0.0, live));
        }
      }
      storageBarrier();
      workgroupBarrier();
    }
  }
  if (SHARED) {
    for (var task = lane; task < UNITS * entries; task += LANES) {
      let unit = unit0 + task % UNITS;
      if (unit < width) {
        dh[state0 + task / UNITS * width + unit] = carry[task];
      }
    }
  }
}
