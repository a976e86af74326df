// Rows of a table by id, y[n] = weight[ids[n]], and the gradient dweight[v] = sum of dy[n] over the n with ids[n] = v.
// An id outside [0, V) gives a row of NaN, because zeros would hide the mistake.
// The gradient is summed in the order of n without atomics, so it repeats bit by bit, in one of two ways:
// `backward` gives every word of the table an invocation, which looks through all ids; right for small tables.
// `scatter` gives every position a workgroup, of which the first with an id gathers all later ones; dweight must
// hold zeros (or what to add to) before. Right for tables with many more rows than there are positions.
// Shapes: V rows of C elements, N ids; a word is one element, or four where C allows vec4f.
// Dispatch: `forward` ceil(N * C / BLOCK) and `backward` ceil(V * C / BLOCK), in words; `scatter` N workgroups.

alias word = vec4f;            // or f32
override BLOCK: u32 = 64u;     // invocations a workgroup
override ADD: bool = false;    // `backward`: dweight += instead of =

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
@group(0) @binding(6) var<storage, read_write> dweight: array<word>;   // (V, C)

var<workgroup> earlier: atomic<u32>;
var<workgroup> latest: atomic<u32>;

// Made from a number of the run, because constants may not be NaN.
fn not_a_number(seed: u32) -> f32 {
  return bitcast<f32>(0x7fc00000u | (seed & 0xffffu));
}

// Sum of word w of dy over the positions first to last whose id is v.
fn gradient_of(v: i32, w: u32, first: u32, last: u32) -> word {
  var sum = word(0.0);
  for (var q = first / 4u; q * 4u <= last; q++) {
    let four = quads[q] == vec4i(v);
    if (any(four)) {
      for (var k = 0u; k < 4u; k++) {
        let n = q * 4u + k;
        if (four[k] && n >= first && n <= last) {
          sum += dy[n * params.words + w];
        }
      }
    }
  }
  return sum;
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
    var sum = word(0.0);
    if (i32(v) != params.padding) {
      sum = gradient_of(i32(v), i % params.words, 0u, params.positions - 1u);
    }
    if (ADD) {
      sum += dweight[i];
    }
    dweight[i] = sum;
  }
}

@compute @workgroup_size(BLOCK)
fn scatter(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let position = group.x + group.y * groups.x;
  let n = min(position, params.positions - 1u);
  let id = ids[n];
  for (var m = lane; m < params.positions; m += BLOCK) {
    if (ids[m] == id) {
      if (m < n) {
        atomicStore(&earlier, 1u);
      }
      atomicMax(&latest, m);
    }
  }
  workgroupBarrier();
  let known = id >= 0 && id < i32(params.vocabulary) && id != params.padding;
  if (known && position == n && atomicLoad(&earlier) == 0u) {
    let last = atomicLoad(&latest);
    for (var w = lane; w < params.words; w += BLOCK) {
      dweight[u32(id) * params.words + w] += gradient_of(id, w, n, last);
    }
  }
}
