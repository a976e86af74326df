// Rotary positions: each pair (a, b) of a head's elements turns by its token's position times the pair's frequency,
// (a cos - b sin, a sin + b cos); `backward` turns a gradient back. Elements of a token past the turning ones are copied.
// Angles are counted in 2^-32 of a turn in u32, which wraps where a turn is full: the difference of two angles depends on
// the distance of the tokens alone, exactly, however long the text.
// Shapes: x, y are rows of ROW pairs; a row is a token, or with several heads before it a token of a head.
// Dispatch: ceil(pairs / 64) workgroups, a pair an invocation.
// Source: Su et al. 2021, RoFormer, https://arxiv.org/abs/2104.09864, equation 34.

alias count = u32;                  // or f32: what counts the tokens
override HALVES: bool = false;      // pairs are (i, i + D/2) of a head instead of (2i, 2i + 1)
override DATA: bool = false;        // a tensor says how many tokens went before

struct Params {
  pairs: u32,     // of all rows
  row: u32,       // pairs of a row
  turning: u32,   // pairs of a row that turn, the first ones
  size: u32,      // pairs of a head, D / 2
  tokens: u32,    // T
  heads: u32,     // blocks of T rows of a sequence
  step: u32,      // 1 if each sequence has a count of its own, else 0
  offset: u32,    // tokens that went before, without DATA
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // (rows, 2 ROW)
@group(0) @binding(2) var<storage, read> turns: array<u32>;      // (D / 2), frequencies in 2^-32 turns a token
@group(0) @binding(3) var<storage, read> position: array<count>; // (1) or (B), tokens that went before
@group(0) @binding(4) var<storage, read_write> y: array<f32>;    // (rows, 2 ROW)

const RADIANS = 1.4629180792671596e-9;  // 2 pi / 2^32

// (cos, sin) of an angle, by series within an eighth of a turn of the nearest quarter: built-ins promise 11 bits.
fn direction(angle: u32) -> vec2f {
  let quarter = (angle + 0x20000000u) >> 30u;
  let r = f32(bitcast<i32>(angle - (quarter << 30u))) * RADIANS;
  let s = r * r;
  let sine = r * (1.0 - s * (1.0 / 6.0 - s * (1.0 / 120.0 - s * (1.0 / 5040.0))));
  let cosine = 1.0 - s * (0.5 - s * (1.0 / 24.0 - s * (1.0 / 720.0 - s * (1.0 / 40320.0))));
  let odd = (quarter & 1u) == 1u;
  let c = select(cosine, sine, odd);
  let d = select(sine, cosine, odd);
  return vec2f(select(c, -c, quarter == 1u || quarter == 2u), select(d, -d, quarter >= 2u));
}

// Turns pair i forth (sign 1) or back (sign -1).
fn turn(i: u32, sign: f32) {
  let row = i / params.row;
  let pair = i % params.row;
  let lane = pair % params.size;
  let start = 2u * (i - lane);
  let first = start + select(2u * lane, lane, HALVES);
  let second = start + select(2u * lane + 1u, lane + params.size, HALVES);
  let a = x[first];
  let b = x[second];
  if (pair >= params.turning) {
    y[first] = a;
    y[second] = b;
    return;
  }
  var before = params.offset;
  if (DATA) {
    before = u32(position[row / (params.tokens * params.heads) * params.step]);
  }
  let d = direction((before + row % params.tokens) * turns[lane]);
  y[first] = a * d.x - sign * b * d.y;
  y[second] = sign * a * d.y + b * d.x;
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i < params.pairs) {
    turn(i, 1.0);
  }
}

@compute @workgroup_size(64)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i < params.pairs) {
    turn(i, -1.0);
  }
}
