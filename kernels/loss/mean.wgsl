// Sum or weighted mean of row losses: loss = sum(losses) * divisor, divisor = 1, or 1 / sum(weights) for the mean.
// Rows that do not count have loss and weight 0; if none counts, the mean is 0 (and divisor 0, so gradients are 0).
// Shapes: N rows. Dispatch: one workgroup.

override LANES: u32 = 64u;    // invocations
override MEAN: bool = true;   // false: the sum

struct Params {
  rows: u32,  // N
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> losses: array<f32>;         // (N)
@group(0) @binding(2) var<storage, read> stats: array<vec4f>;        // (N), w: weight of the row
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;     // (1)
@group(0) @binding(4) var<storage, read_write> divisor: array<f32>;  // (1)

var<workgroup> partials: array<vec2f, LANES>;

@compute @workgroup_size(LANES)
fn forward(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f(0.0);
  for (var row = lane; row < params.rows; row += LANES) {
    sum += vec2f(losses[row], stats[row].w);
  }
  partials[lane] = sum;
  workgroupBarrier();
  for (var half = LANES / 2u; half >= 16u; half /= 2u) {
    if (lane < half) {
      partials[lane] += partials[lane + half];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    var total = vec2f(0.0);
    for (var i = 0u; i < min(LANES, 16u); i++) {
      total += partials[i];
    }
    var scale = 1.0;
    if (MEAN) {
      scale = select(1.0 / total.y, 0.0, total.y == 0.0);
    }
    loss[0] = total.x * scale;
    divisor[0] = scale;
  }
}
