// Sums the rows of chunks of matrices: y[b, p, c] = sum of x[b, r, c] over the rows r of chunk p, or that added to y.
// One launch with one chunk sums whole matrices; long ones take two, the second over the chunk sums of the first,
// so the order of additions depends on the shape alone and results repeat bit by bit.
// Shapes: B matrices of R rows and C words, P = ceil(R / chunk). A word is one column, or four where C allows vec4f.
// Dispatch: ceil(B * P * C / BLOCK) workgroups, one word of y an invocation; neighbours read neighbouring columns.

alias word = f32;               // or vec4f
override BLOCK: u32 = 64u;      // invocations a workgroup
override ADD: bool = false;     // y += sums

struct Params {
  total: u32,   // words of y, B * P * C
  rows: u32,    // R
  words: u32,   // C
  chunk: u32,   // rows a chunk
  chunks: u32,  // P
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<word>;        // (B, R, C)
@group(0) @binding(2) var<storage, read_write> y: array<word>;  // (B, P, C)

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * BLOCK + lane;
  if (i < params.total) {
    let c = i % params.words;
    let b = i / params.words / params.chunks;
    let first = (i / params.words % params.chunks) * params.chunk;
    let last = min(first + params.chunk, params.rows);
    var sum = word();
    for (var r = first; r < last; r++) {
      sum += x[(b * params.rows + r) * params.words + c];
    }
    if (ADD) {
      sum += y[i];
    }
    y[i] = sum;
  }
}
