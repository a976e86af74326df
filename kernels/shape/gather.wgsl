// Picks elements along an axis by number: y[o, k, i] = x[o, id, i] with id = ids[o, k, i], or ids[k] if SHARED.
// Backward adds up in the order of k, so that it gives the same bits each time: dx[o, r, i] = sum over k with id = r of dy[o, k, i].
// Shapes: x and dx are (O, R, I), y and dy (O, K, I), ids (O, K, I) or (K). An id outside 0..R-1 gives 0 and no gradient.
// Dispatch: ceil(elements of the result / BLOCK) workgroups, one element an invocation.

override BLOCK: u32 = 64u;       // invocations a workgroup
override SHARED: bool = false;   // one list of ids for all o and i

struct Params {
  total: u32,   // elements of the result
  count: u32,   // R
  picks: u32,   // K
  inner: u32,   // I
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;          // (O, R, I), any 32-bit type
@group(0) @binding(2) var<storage, read> ids: array<u32>;        // (O, K, I) or (K), u32 or i32
@group(0) @binding(3) var<storage, read_write> y: array<u32>;    // (O, K, I)
@group(0) @binding(4) var<storage, read> dy: array<f32>;         // (O, K, I)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;   // (O, R, I)

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (group.x + group.y * groups.x) * BLOCK + lane;
  if (at < params.total) {
    let i = at % params.inner;
    let k = at / params.inner % params.picks;
    let o = at / params.inner / params.picks;
    let id = ids[select(at, k, SHARED)];
    var value = 0u;
    if (id < params.count) {
      value = x[(o * params.count + id) * params.inner + i];
    }
    y[at] = value;
  }
}

@compute @workgroup_size(BLOCK)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (group.x + group.y * groups.x) * BLOCK + lane;
  if (at < params.total) {
    let i = at % params.inner;
    let r = at / params.inner % params.count;
    let o = at / params.inner / params.count;
    var total = 0.0;
    for (var k = 0u; k < params.picks; k++) {
      let from_y = (o * params.picks + k) * params.inner + i;
      if (ids[select(from_y, k, SHARED)] == r) {
        total += dy[from_y];
      }
    }
    dx[at] = total;
  }
}
