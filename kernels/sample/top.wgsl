// The n largest elements of each row, largest first, equal ones by index: values[r, j] = x[r, ids[r, j]].
// Places beyond the row get the id 0xffffffff and the value -1e30.
// Shapes: R rows of C elements, n small. Dispatch: R workgroups; each of n rounds finds the next element.

override LANES: u32 = 64u;  // invocations a row, a power of two

const LOWEST: f32 = -1e30;
const NONE: u32 = 0xffffffffu;

struct Params {
  rows: u32,     // R
  columns: u32,  // C
  count: u32,    // n
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // (R, C)
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;     // (R, n)
@group(0) @binding(3) var<storage, read_write> values: array<f32>;  // (R, n)

var<workgroup> places: array<u32, LANES>;
var<workgroup> heights: array<f32, LANES>;

// Whether (height, place) comes before (other, at).
fn before(height: f32, place: u32, other: f32, at: u32) -> bool {
  return height > other || (height == other && place < at);
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let spot = group.x + group.y * groups.x;
  let row = min(spot, params.rows - 1u);
  var last_height = 0.0;
  var last_place = NONE;
  for (var j = 0u; j < params.count; j++) {
    var height = LOWEST;
    var place = NONE;
    for (var i = lane; i < params.columns; i += LANES) {
      let v = x[row * params.columns + i];
      if ((j == 0u || before(last_height, last_place, v, i)) && before(v, i, height, place)) {
        height = v;
        place = i;
      }
    }
    heights[lane] = height;
    places[lane] = place;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
      if (lane < half && before(heights[lane + half], places[lane + half], heights[lane], places[lane])) {
        heights[lane] = heights[lane + half];
        places[lane] = places[lane + half];
      }
      workgroupBarrier();
    }
    last_height = heights[0];
    last_place = places[0];
    workgroupBarrier();
    if (lane == 0u && spot == row) {
      ids[row * params.count + j] = last_place;
      values[row * params.count + j] = last_height;
    }
  }
}
