// Transposes matrices: y[b, n, m] = x[b, m, n], by tiles through workgroup memory so that both sides go along rows.
// Shapes: x is (B, M, N), y is (B, N, M), elements of any 32-bit type.
// Dispatch: B ceil(M / TILE) ceil(N / TILE) workgroups, one tile each; an invocation moves TILE / ROWS elements.

override TILE: u32 = 32u;  // rows and columns of a tile
override ROWS: u32 = 8u;   // rows of a tile moved at once; divides TILE

struct Params {
  batch: u32,    // B
  rows: u32,     // M
  columns: u32,  // N
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;        // (B, M, N)
@group(0) @binding(2) var<storage, read_write> y: array<u32>;  // (B, N, M)

// One column more than needed: rows then start in different memory banks.
var<workgroup> tile: array<u32, TILE * (TILE + 1u)>;

@compute @workgroup_size(TILE, ROWS)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let id = group.x + group.y * groups.x;
  let across = (params.columns + TILE - 1u) / TILE;
  let down = (params.rows + TILE - 1u) / TILE;
  let batch = id / (across * down);
  let row = (id / across % down) * TILE;
  let column = (id % across) * TILE;
  let base = batch * params.rows * params.columns;
  let live = batch < params.batch;
  for (var r = lane.y; r < TILE; r += ROWS) {
    if (live && row + r < params.rows && column + lane.x < params.columns) {
      tile[r * (TILE + 1u) + lane.x] = x[base + (row + r) * params.columns + column + lane.x];
    }
  }
  workgroupBarrier();
  for (var r = lane.y; r < TILE; r += ROWS) {
    if (live && column + r < params.columns && row + lane.x < params.rows) {
      y[base + (column + r) * params.rows + row + lane.x] = tile[lane.x * (TILE + 1u) + r];
    }
  }
}
