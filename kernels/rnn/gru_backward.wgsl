// Backward through time of a GRU layer (gru.wgsl, whose rows, steps and groups of four batch entries it shares).
//   dn = dh (1 - z) (1 - n^2), dz = dh (h' - n) z (1 - z), dr = dn b_n r (1 - r);  da = dr, dz, dn;  db = dr, dz, dn r
//   dh' = dh z + db W_hh
// W_ih, b_ih and x get their gradients from da, W_hh and b_hh theirs from db and h', as matrix products over all rows.
// A lane multiplies for four neighbouring units; then all lanes share the units and entries of the workgroup.
// Shapes: B batch, T steps, H units, K = H rounded up to a multiple of 4, J = 3 H likewise, D directions, N = T B rows.
// Dispatch: ceil(H / UNITS) x ceil(B / 4) x D workgroups. Steps are done from the last to the first, and a T + 1st only finishes
// dh. One workgroup along x (UNITS >= H) may run any number; with more of them each launch runs one, without SHARED.
// Source: Werbos 1990 (backpropagation through time); Cho et al. 2014.

override LANES: u32 = 32u;      // invocations a workgroup, a multiple of UNITS / 4
override UNITS: u32 = 32u;      // units a workgroup, a multiple of 4: H or more for whole sequences
override SPAN: u32 = 32u;       // units in workgroup memory: UNITS with SHARED, else 1
override SHARED: bool = true;   // db of a step and dh are handed on in workgroup memory
override ALIGNED: bool = true;  // H is a multiple of 4

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
  gates: u32,       // values from one direction's a to the next's
  stride: u32,      // values from one direction's b_n or h' to the next's
  hidden: u32,      // where h' begins in tape
  memory: u32,      // where b_n begins in tape
  given: u32,       // 1 if dh holds the gradient of the state after the last step; else it is 0
  ragged: u32,      // 1 if entries have lengths: beyond, outputs are 0 and the state stays
  upstream: u32,    // 1 if y has a gradient
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tape: array<f32>;       // r, z, n (D, N, 3 H); h' (D, N, H); b_n (D, N, H)
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;  // (D, J, K / 4)
@group(0) @binding(3) var<storage, read> dy: array<f32>;         // (N, D H)
@group(0) @binding(4) var<storage, read> lengths: array<i32>;    // (B)
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;   // da (D, N, 3 H)
@group(0) @binding(6) var<storage, read_write> db: array<f32>;   // (D, N, 3 H)
@group(0) @binding(7) var<storage, read_write> dh: array<f32>;   // (D, B, H): of hn, replaced by that of h0

var<workgroup> gradient: array<f32, SPAN * 12u>;                // db of four entries
var<workgroup> carry: array<f32, SPAN * 4u>;                    // dh of four entries
var<workgroup> partial: array<mat4x4f, LANES - UNITS / 4u + 1u>; // sums of the lanes that help another

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

// Four values of db of an entry.
fn gru_gradient(begin: u32, m: u32) -> vec4f {
  let at = begin + m;
  if (SHARED) {
    return vec4f(gradient[at], gradient[at + 1u], gradient[at + 2u], gradient[at + 3u]);
  }
  var value = vec4f(db[at], db[at + 1u], db[at + 2u], db[at + 3u]);
  if (!ALIGNED) {
    value = select(vec4f(0.0), value, m + vec4u(0u, 1u, 2u, 3u) < vec4u(3u * params.width));
  }
  return value;
}

// This lane's part of db W_hh for four neighbouring units, a column an entry.
fn gru_product_back(weight: u32, begin: vec4u, slice: u32, slices: u32) -> mat4x4f {
  let width = params.inner / 4u;
  var sum = mat4x4f();
  for (var m = slice * 4u; m < 3u * params.width; m += slices * 4u) {
    let at = weight + m * width;
    let w = mat4x4f(weights[at], weights[at + width], weights[at + 2u * width], weights[at + 3u * width]);
    let d = mat4x4f(gru_gradient(begin.x, m), gru_gradient(begin.y, m), gru_gradient(begin.z, m), gru_gradient(begin.w, m));
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
  let weight = direction * (3u * params.width + 3u) / 4u * 4u * (params.inner / 4u) + min(unit0 + quad, params.inner - 4u) / 4u;
  let state0 = (direction * params.batch + entry) * width;
  for (var task = lane; task < UNITS * entries; task += LANES) {
    let unit = unit0 + task % UNITS;
    let state = state0 + task / UNITS * width + unit;
    if (unit < width) {
      let given = params.first > 0u || params.given == 1u;
      if (SHARED || !given) {
        store_carry(task, state, select(0.0, dh[state], given));
      }
    }
  }
  storageBarrier();
  workgroupBarrier();
  for (var done = params.first; done < params.last; done++) {
    if (done > 0u) {
      var begin = vec4u(0u, 1u, 2u, 3u) * (3u * SPAN);
      if (!SHARED) {
        begin = direction * params.gates + rows_of(time_of(direction, params.steps - done), entry) * (3u * width);
      }
      let sums = join_lanes(lane, owners, gru_product_back(weight, begin, lane / owners, slices));
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
          let a = direction * params.gates + row * 3u * width + unit;
          let kept = direction * params.stride + row * width + unit;
          let reset = tape[a];
          let z = tape[a + width];
          let n = tape[a + 2u * width];
          let n_sum = h_gradient * (1.0 - z) * (1.0 - n * n);
          let z_sum = h_gradient * (tape[params.hidden + kept] - n) * z * (1.0 - z);
          let r_sum = n_sum * tape[params.memory + kept] * reset * (1.0 - reset);
          var sums = select(vec4f(0.0), vec4f(r_sum, z_sum, n_sum, n_sum * reset), live);
          for (var gate = 0u; gate < 3u; gate++) {
            dz[a + gate * width] = sums[gate];
          }
          sums.z = sums.w;
          for (var gate = 0u; gate < 3u; gate++) {
            db[a + gate * width] = sums[gate];
            if (SHARED) {
              gradient[r * 3u * SPAN + gate * width + unit] = sums[gate];
            }
          }
          store_carry(task, state, select(after, h_gradient * z, live));
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
