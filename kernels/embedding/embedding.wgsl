// Rows of a table by id, y[n] = weight[ids[n]], and the gradient dweight[v] = sum of dy[n] over the n with ids[n] = v.
// An id outside [0, V) gives a row of NaN, because zeros would hide the mistake.
// The gradient needs no atomics, so it repeats bit by bit. Where both table and text are small, one launch is quickest:
// `backward` gives every word of the table an invocation, which looks through all ids. Otherwise dy is read once, in three:
// `rank` sorts the positions by id, equal ids by position: each counts those before it, N / 4 comparisons of vectors an invocation. `sum` adds up stretches of SPAN
// neighbours in that order, whatever their ids, so a frequent id takes many invocations; where it goes on from one stretch to
// the next, both leave their shares, and `join` adds these. dweight must hold zeros (or what to add to) before.
// Shapes: V rows of C elements, N ids, P = ceil(N / SPAN); a word is one element, or four where C allows vec4f.
// Dispatch: `forward` ceil(N * C / BLOCK) and `backward` ceil(V * C / BLOCK), in words; `rank` ceil(N / BLOCK); `sum` and `join` ceil(P * C / BLOCK), in words.

alias word = vec4f;            // or f32
override BLOCK: u32 = 64u;     // invocations a workgroup
override ADD: bool = false;    // `backward`: dweight += instead of =
const SPAN: u32 = 16u;         // neighbours in the order that an invocation adds up

struct Params {
  vocabulary: u32,  // V
  words: u32,       // words a row, C / 4 or C
  positions: u32,   // N
  padding: i32,     // id whose row gets no gradient; -1: none
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<word>;          // (V, C)
@group(0) @binding(2) var<storage, read> ids: array<i32>;              // (N)
@group(0) @binding(3) var<storage, read_write> y: array<word>;         // (N, C)
@group(0) @binding(4) var<storage, read> dy: array<word>;              // (N, C)
@group(0) @binding(5) var<storage, read> quads: array<vec4i>;          // (N): ids, four at a time
@group(0) @binding(6) var<storage, read_write> order: array<vec2i>;    // (N): id and position, in the order of ids
@group(0) @binding(7) var<storage, read> sorted: array<vec2i>;         // (N): order
@group(0) @binding(8) var<storage, read_write> shares: array<word>;    // (P, 2, C): of the first and of the last id of a stretch
@group(0) @binding(9) var<storage, read> parts: array<word>;           // (P, 2, C): shares
@group(0) @binding(10) var<storage, read_write> dweight: array<word>;  // (V, C)

// Made from a number of the run, because constants may not be NaN.
fn not_a_number(seed: u32) -> f32 {
  return bitcast<f32>(0x7fc00000u | (seed & 0xffffu));
}

// Whether the id at place r of the order is also the one before it.
fn goes_on(r: u32) -> bool {
  return r > 0u && r < params.positions && sorted[r].x == sorted[max(r, 1u) - 1u].x;
}

// Adds to word w of the row of an id, if it has one that learns.
fn add(id: i32, w: u32, sum: word) {
  if (id >= 0 && id < i32(params.vocabulary) && id != params.padding) {
    dweight[u32(id) * params.words + w] += sum;
  }
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  let n = i / params.words;
  if (n < params.positions) {
    let id = ids[n];
    let known = id >= 0 && id < i32(params.vocabulary);
    let row = u32(select(0, id, known));
    y[i] = select(word(not_a_number(n)), weight[row * params.words + i % params.words], known);
  }
}

@compute @workgroup_size(BLOCK)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  let v = i / params.words;
  if (v < params.vocabulary) {
    var total = word(0.0);
    if (ADD) {
      total = dweight[i];
    }
    if (i32(v) != params.padding) {
      for (var q = 0u; q * 4u < params.positions; q++) {
        let four = quads[q] == vec4i(i32(v));
        if (any(four)) {
          for (var k = 0u; k < min(4u, params.positions - q * 4u); k++) {
            if (four[k]) {
              total += dy[(q * 4u + k) * params.words + i % params.words];
            }
          }
        }
      }
    }
    dweight[i] = total;
  }
}

@compute @workgroup_size(BLOCK)
fn rank(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * BLOCK + lane;
  if (n < params.positions) {
    let id = ids[n];
    let own = n / 4u;
    let whole = params.positions / 4u;
    // An equal id comes before on the left, not on the right.
    var counts = vec4u(0u);
    for (var q = 0u; q < own; q++) {
      counts += select(vec4u(0u), vec4u(1u), quads[q] <= vec4i(id));
    }
    for (var q = own + 1u; q < whole; q++) {
      counts += select(vec4u(0u), vec4u(1u), quads[q] < vec4i(id));
    }
    var place = counts.x + counts.y + counts.z + counts.w;
    for (var m = 4u * own; m < min(4u * own + 4u, params.positions); m++) {
      place += u32((ids[m] < id) | ((ids[m] == id) & (m < n)));
    }
    for (var m = max(4u * whole, 4u * own + 4u); m < params.positions; m++) {
      place += u32(ids[m] < id);
    }
    order[place] = vec2i(id, i32(n));
  }
}

@compute @workgroup_size(BLOCK)
fn sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  let w = i % params.words;
  let stretch = i / params.words;
  let first = stretch * SPAN;
  let last = min(first + SPAN, params.positions);
  var total = word(0.0);
  var open = goes_on(first);
  for (var r = first; r < last; r++) {
    let at = sorted[r];
    total += dy[u32(at.y) * params.words + w];
    let more = goes_on(r + 1u);
    if (!more || r + 1u == last) {
      if (open || more) {
        shares[(2u * stretch + u32(!open)) * params.words + w] = total;
      } else {
        add(at.x, w, total);
      }
      total = word(0.0);
      open = false;
    }
  }
}

@compute @workgroup_size(BLOCK)
fn join(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  let w = i % params.words;
  let stretch = i / params.words;
  var next = (stretch + 1u) * SPAN;
  // The stretch where an id begins takes the shares of those through which it goes on.
  if (goes_on(next)) {
    let id = sorted[next].x;
    if (sorted[stretch * SPAN].x != id || !goes_on(stretch * SPAN)) {
      var total = parts[(2u * stretch + 1u) * params.words + w];
      loop {
        total += parts[2u * (next / SPAN) * params.words + w];
        next += SPAN;
        if (!(next < params.positions && sorted[next].x == id)) {
          break;
        }
      }
      add(id, w, total);
    }
  }
}
