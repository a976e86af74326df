// The n largest elements of each row, largest first, equal ones by index: values[r, j] = x[r, ids[r, j]].
// NaN is never among them. Places that no element is left for get the id 0xffffffff and the value -1e30.
// A pass finds up to FEW of them. The k-th best of the best elements of P parts of the row is an element as well, so no
// better than the k-th best of all, and few others are as good: 74 on average for k = 64 of 256 parts. Those are listed, and
// each one's place is the number of those before it. If they crowd into so few parts that the list overflows, the next
// pass finds one.
// Shapes: R rows of C elements, P parts. Dispatch: R workgroups.

override LANES: u32 = 64u;  // invocations a row

const PARTS: u32 = 256u;    // most parts; element i is of part i % P
const FEW: u32 = 128u;      // most elements that a pass looks for
const ROOM: u32 = 512u;     // elements that a pass can list
const NONE: u32 = 0xffffffffu;

struct Params {
  rows: u32,     // R
  columns: u32,  // C
  count: u32,    // n
  parts: u32,    // P
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;             // (R, C), f32 as bits
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;     // (R, n)
@group(0) @binding(3) var<storage, read_write> values: array<f32>;  // (R, n)

// An element is its key and its index.
var<workgroup> peaks: array<vec2u, PARTS>;  // the best of each part
var<workgroup> list: array<vec2u, ROOM>;    // those at least as good as the bar, as they were found
var<workgroup> bar: vec2u;
var<workgroup> found: atomic<u32>;
var<workgroup> listed: u32;
var<workgroup> worst: vec2u;                // the last element of the pass

// Rank of an element as an unsigned number, and 0 for NaN.
fn order_of(at: u32) -> u32 {
  let bits = x[at];
  let magnitude = bits & 0x7fffffffu;
  let key = select(0x80000000u + magnitude, 0x80000000u - magnitude, bits > 0x80000000u);
  return select(key, 0u, magnitude > 0x7f800000u);
}

// Whether an element comes before another.
fn before(own: vec2u, other: vec2u) -> bool {
  return (own.x > other.x) | ((own.x == other.x) & (own.y < other.y));
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let spot = group.x + group.y * groups.x;
  let row = min(spot, params.rows - 1u);
  let base = row * params.columns;
  var done = 0u;
  var few = min(params.count, FEW);
  var last = vec2u(NONE, 0u);
  while (done < params.count) {
    if (lane == 0u) {
      atomicStore(&found, 0u);
      bar = vec2u(0u, NONE);
    }
    for (var part = lane; part < params.parts; part += LANES) {
      var peak = vec2u(0u, NONE);
      for (var i = part; i < params.columns; i += params.parts) {
        let own = vec2u(order_of(base + i), i);
        if ((own.x > peak.x) & before(last, own)) {
          peak = own;
        }
      }
      peaks[part] = peak;
    }
    workgroupBarrier();
    for (var part = lane; part < params.parts; part += LANES) {
      let own = peaks[part];
      var above = 0u;
      for (var other = 0u; other < params.parts; other++) {
        above += u32(before(peaks[other], own));
      }
      if (above == few - 1u && own.x > 0u) {
        bar = own;
      }
    }
    workgroupBarrier();
    for (var i = lane; i < params.columns; i += LANES) {
      let own = vec2u(order_of(base + i), i);
      if ((own.x > 0u) & before(last, own) & !before(bar, own)) {
        let p = atomicAdd(&found, 1u);
        if (p < ROOM) {
          list[p] = own;
        }
      }
    }
    workgroupBarrier();
    if (lane == 0u) {
      listed = atomicLoad(&found);
    }
    let all = workgroupUniformLoad(&listed);
    if (all > ROOM) {
      few = 1u;
      continue;
    }
    let taken = min(all, params.count - done);
    for (var p = lane; p < all; p += LANES) {
      let own = list[p];
      var above = 0u;
      for (var other = 0u; other < all; other++) {
        above += u32(before(list[other], own));
      }
      if (above < taken && spot == row) {
        ids[row * params.count + done + above] = own.y;
        values[row * params.count + done + above] = bitcast<f32>(x[base + own.y]);
      }
      if (above + 1u == taken) {
        worst = own;
      }
    }
    for (var j = done + lane; j < params.count && all == 0u && spot == row; j += LANES) {
      ids[row * params.count + j] = NONE;
      values[row * params.count + j] = -1e30;
    }
    last = workgroupUniformLoad(&worst);
    done = select(done + taken, params.count, all == 0u);
    few = min(params.count - done, FEW);
  }
}
