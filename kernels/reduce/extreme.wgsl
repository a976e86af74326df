// Where the maximum or minimum along an axis is, and the gradient of taking it: index[o, i] = first r with x[o, r, i] extreme;
// dx[o, r, i] = dy[o, i] if r = index[o, i], else 0.
// Shapes: x and dx are (O, R, I), index and dy (O, I). The lowest of equal places wins; a NaN counts as extreme.
// Dispatch: `forward`, ceil(O I / (BLOCK / HEIGHT)) workgroups, HEIGHT invocations a column (o, i);
// `backward`, ceil(O R I / BLOCK) workgroups, one element an invocation.

override BLOCK: u32 = 64u;          // invocations a workgroup
override HEIGHT: u32 = 64u;         // invocations a column, a power of two
override ALONG: bool = true;        // neighbouring invocations take neighbouring elements of a column; false: neighbouring columns
override SMALLEST: bool = false;    // minimum instead of maximum

struct Params {
  columns: u32,  // O I
  count: u32,    // R
  inner: u32,    // I
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // (O, R, I)
@group(0) @binding(2) var<storage, read_write> index: array<u32>;  // (O, I)
@group(0) @binding(3) var<storage, read> place: array<u32>;        // (O, I), the index of the forward pass
@group(0) @binding(4) var<storage, read> dy: array<f32>;           // (O, I)
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;     // (O, R, I)

var<workgroup> keys: array<u32, BLOCK>;
var<workgroup> places: array<u32, BLOCK>;

// A number that is larger the nearer the value is to the extreme, and largest for NaN; both zeros are equal.
fn rank_of(value: f32) -> u32 {
  let pattern = bitcast<u32>(value);
  if ((pattern & 0x7fffffffu) > 0x7f800000u) {
    return 0xffffffffu;
  }
  if ((pattern & 0x7fffffffu) == 0u) {
    return 0x80000000u;
  }
  let negative = (pattern >> 31u) == 1u;
  let rising = select(pattern | 0x80000000u, ~pattern, negative);
  return select(rising, ~rising, SMALLEST);
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = BLOCK / HEIGHT;
  let part = select(lane / across, lane % HEIGHT, ALONG);
  let slot = select(lane % across, lane / HEIGHT, ALONG);
  let column = (group.x + group.y * groups.x) * across + slot;
  let live = column < params.columns;
  let base = (column / params.inner) * params.count * params.inner + column % params.inner;
  var best = 0u;
  var at = 0xffffffffu;
  if (live) {
    for (var r = part; r < params.count; r += HEIGHT) {
      let key = rank_of(x[base + r * params.inner]);
      if (key > best || at == 0xffffffffu) {
        best = key;
        at = r;
      }
    }
  }
  if (HEIGHT > 1u) {
    let mine = slot * HEIGHT + part;
    keys[mine] = best;
    places[mine] = at;
    for (var half = HEIGHT / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (part < half) {
        let key = keys[mine + half];
        let other = places[mine + half];
        if (key > keys[mine] || (key == keys[mine] && other < places[mine])) {
          keys[mine] = key;
          places[mine] = other;
        }
      }
    }
    workgroupBarrier();
    at = places[slot * HEIGHT];
  }
  if (live && part == 0u) {
    index[column] = at;
  }
}

@compute @workgroup_size(BLOCK)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.columns * params.count) {
    let r = (i / params.inner) % params.count;
    let column = (i / params.inner / params.count) * params.inner + i % params.inner;
    dx[i] = select(0.0, dy[column], r == place[column]);
  }
}
