// Draws a token a row from logits: repetition penalty, temperature, top-k, top-p, min-p, in that order. The token is
// the first in vocabulary order whose cumulative probability exceeds a uniform number u.
// Settings, state and counts are data, so a captured plan sees every change, and the kernel itself moves on the state:
// it counts the token in `seen`, advances the position, and writes the token to `token` and to the ring `history`.
// Logits with a NaN, or without one above -inf, give the token 0xffffffff (NO_TOKEN).
//
// Tokens are ordered by `key`, the bits of the adjusted logit made to sort as unsigned numbers, equal ones by index. Every filter
// keeps the best tokens of that order, so it is a pair (cut_key, cut_index), found exactly and without sorting: by
// four bits of the key at a time (a histogram in workgroup memory), then the index among equals by narrowing a range.
// With a list of shortlist.wgsl all passes go through its tokens alone.
// Probabilities are summed in 31-bit fixed point: integer sums do not depend on their order, and u meets exact steps.
// u is Philox4x32-10 of counter (row, CALL, position low, position high) under the seed (src/tensor/philox.ts).
// Shapes: B rows of V logits. Dispatch: B workgroups.
// Sources: Fan et al. 2018, https://arxiv.org/abs/1805.04833 (top-k); Holtzman et al. 2019,
// https://arxiv.org/abs/1904.09751 (top-p); Keskar et al. 2019, https://arxiv.org/abs/1909.05858 (penalty).

override LANES: u32 = 64u;     // invocations a row
override GIVEN: bool = false;  // take u from `uniforms`, not from the generator
override LISTED: bool = false; // rows may have a list

const CALL: u32 = 0x73616d70u;       // a draw that no dropout layer makes
const NO_TOKEN: u32 = 0xffffffffu;
const LARGEST: u32 = 0x7149f2cau;    // bits of 1e30, to which logits are clamped
const MIDDLE: u32 = 0x80000000u;     // key of 0
const UNIT: f32 = 2147483648.0;      // fixed-point 1
const DIGITS: u32 = 8u;              // of a key, four bits each
const ROOM: u32 = 512u;              // tokens that a list can hold

struct Params {
  rows: u32,        // B
  vocabulary: u32,  // V
  settings: u32,    // rows of settings, B or 1
  capacity: u32,    // H, steps in the ring
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;           // (B, V), f32 as bits
@group(0) @binding(2) var<storage, read> settings: array<vec4f>;       // (B or 1, 2): temperature, top-k, top-p, min-p; penalty
@group(0) @binding(3) var<storage, read> uniforms: array<f32>;         // (B) if GIVEN
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;       // (B, V), how often each token occurred
@group(0) @binding(5) var<storage, read_write> state: array<vec4u>;    // (B): seed low, seed high, position low, position high
@group(0) @binding(6) var<storage, read_write> token: array<u32>;      // (B)
@group(0) @binding(7) var<storage, read_write> history: array<u32>;    // (H, B)
@group(0) @binding(8) var<storage, read_write> probabilities: array<f32>; // (B, V)
@group(0) @binding(9) var<storage, read> list: array<u32>;             // (B, ROOM + 1) if LISTED: 0 or how many, then tokens

var<workgroup> bins: array<atomic<u32>, 128>;  // DIGITS histograms of 16
var<workgroup> top_key: atomic<u32>;
var<workgroup> broken: atomic<u32>;
var<workgroup> partials: array<u32, LANES * 2u>;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> drawn: f32;

// What `key` and `mass` need to know, the same for all invocations of a row.
struct Sieve {
  base: u32,       // first logit of the row
  places: u32,     // tokens that passes go through, of the list or the vocabulary
  start: u32,      // of the list in `list`, 0 without
  penalty: f32,
  cold: f32,       // 1 / temperature
  top: f32,        // highest adjusted logit
  scale: f32,      // fixed-point mass of a token as likely as the best
  least: f32,      // min-p
  cut_key: u32,    // last token kept: smaller keys, and equal ones at a later index, are out
  cut_index: u32,
}

var<private> sieve: Sieve;

// High 32 bits of a 64-bit product, by 16-bit halves whose sums never overflow; the low ones are a * b.
fn multiply_high(a: u32, b: u32) -> u32 {
  let high_low = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let low_high = (a & 0xffffu) * (b >> 16u) + (high_low & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (high_low >> 16u) + (low_high >> 16u);
}

fn philox(start: vec4u, seed: vec2u) -> vec4u {
  var counter = start;
  var key = seed;
  for (var round = 0u; round < 10u; round++) {
    counter = vec4u(
      multiply_high(0xcd9e8d57u, counter.z) ^ counter.y ^ key.x,
      0xcd9e8d57u * counter.z,
      multiply_high(0xd2511f53u, counter.x) ^ counter.w ^ key.y,
      0xd2511f53u * counter.x,
    );
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return counter;
}

// part * total, rounded down, for a part below 1; exact, which a product of f32 would not be.
fn share_of(total: u32, part: f32) -> u32 {
  return multiply_high(total, u32(part * 4294967296.0));
}

fn is_nan(bits: u32) -> bool {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}

// Rank of token i as an unsigned number: its magnitude above or below the middle. 0: never drawn.
fn key_of(i: u32) -> u32 {
  let bits = logits[sieve.base + i];
  var magnitude = min(bits & 0x7fffffffu, LARGEST);
  let negative = bitcast<i32>(bits) < 0;
  if (sieve.penalty != 1.0) {
    let size = bitcast<f32>(magnitude);
    let fined = select(size / sieve.penalty, size * sieve.penalty, negative);
    magnitude = select(magnitude, min(bitcast<u32>(fined), LARGEST), seen[sieve.base + i] > 0u);
  }
  return select(select(MIDDLE + magnitude, MIDDLE - magnitude, negative), 0u, (bits == 0xff800000u) | is_nan(bits));
}

// The token that passes meet at place p, and its key.
fn token_at(p: u32) -> vec2u {
  var i = p;
  if (LISTED && sieve.start > 0u) {
    i = list[sieve.start + p];
  }
  return vec2u(i, key_of(i));
}

fn logit_of(key: u32) -> f32 {
  return select(-bitcast<f32>(MIDDLE - key), bitcast<f32>(key - MIDDLE), key >= MIDDLE);
}

// Likelihood in units of the best token's; 0 if the filters drop token i.
fn likelihood(i: u32, key: u32) -> f32 {
  let d = (logit_of(key) - sieve.top) * sieve.cold;
  let value = exp(clamp(d, -88.0, 0.0));
  let kept = (key > sieve.cut_key) | ((key == sieve.cut_key) & (i <= sieve.cut_index));
  return select(0.0, value, kept & (d > -87.0) & (value >= sieve.least));
}

fn mass_of(i: u32, key: u32) -> u32 {
  return u32(likelihood(i, key) * sieve.scale);
}

// Sum of the likelihoods of all tokens.
fn total_likelihood(lane: u32) -> f32 {
  var sum = 0.0;
  for (var p = lane; p < sieve.places; p += LANES) {
    let at = token_at(p);
    sum += likelihood(at.x, at.y);
  }
  workgroupBarrier();
  sums[lane] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < LANES; i++) {
    total += sums[i];
  }
  return total;
}

// Kinds of weight that `weigh` gives a token.
const TIED: u32 = 0u;       // 1 if it has the key of the cut
const TIED_MASS: u32 = 1u;  // its mass if it has the key of the cut
const MASS: u32 = 2u;       // its mass if it is kept

fn weigh(p: u32, kind: u32) -> u32 {
  let at = token_at(p);
  if (kind != MASS && at.y != sieve.cut_key) {
    return 0u;
  }
  return select(mass_of(at.x, at.y), 1u, kind == TIED);
}

// The first token at which the cumulative weight exceeds `goal`, or, with kind MASS, the share u of the total.
// NO_TOKEN if there is none. Each round cuts the range into a piece an invocation.
fn search(kind: u32, goal: u32, u: f32, places: u32, lane: u32) -> u32 {
  var left = goal;
  var first = 0u;
  var found = true;
  var slot = 0u;
  var open = kind == MASS;
  workgroupBarrier();
  for (var length = places; length > 1u; length = (length + LANES - 1u) / LANES) {
    let piece = (length + LANES - 1u) / LANES;
    var sum = 0u;
    let begin = first + lane * piece;
    let end = min(min(begin + piece, first + length), places);
    for (var i = begin; i < end; i++) {
      sum += weigh(i, kind);
    }
    partials[slot + lane] = sum;
    workgroupBarrier();
    if (open) {
      var total = 0u;
      for (var l = 0u; l < LANES; l++) {
        total += partials[slot + l];
      }
      left = min(share_of(total, u), max(total, 1u) - 1u);
      open = false;
    }
    var next = first;
    var hit = false;
    for (var l = 0u; l < LANES && !hit; l++) {
      let weight = partials[slot + l];
      hit = weight > left;
      next = select(next, first + l * piece, hit);
      left -= select(weight, 0u, hit);
    }
    found = found && hit;
    first = next;
    slot = LANES - slot;
  }
  return select(NO_TOKEN, token_at(first).x, found);
}

// Cuts off all but the best tokens whose count reaches `count`, or, if by_mass, whose share of the mass reaches `share`; at
// least one stays. Sets the key of the cut and returns how much of the goal is left for tokens of that key.
fn narrow(by_mass: bool, count: u32, share: f32, lane: u32) -> u32 {
  workgroupBarrier();
  for (var b = lane; b < 16u * DIGITS; b += LANES) {
    atomicStore(&bins[b], 0u);
  }
  workgroupBarrier();
  var left = count;
  var prefix = 0u;
  for (var digit = 0u; digit < DIGITS; digit++) {
    let shift = 28u - 4u * digit;
    for (var p = lane; p < sieve.places; p += LANES) {
      let at = token_at(p);
      if (at.y > 0u && (at.y >> shift) >> 4u == prefix) {
        atomicAdd(&bins[digit * 16u + ((at.y >> shift) & 15u)], select(1u, mass_of(at.x, at.y), by_mass));
      }
    }
    workgroupBarrier();
    if (digit == 0u) {
      var total = 0u;
      for (var b = 0u; b < 16u; b++) {
        total += atomicLoad(&bins[b]);
      }
      // Within a millionth of the share counts as reached, or rounding would decide between equal tokens.
      let goal = share_of(total, share);
      left = max(select(min(count, total), goal - min(goal, total >> 20u), by_mass), 1u);
    }
    var chosen = 16u;
    var reached = false;
    while (chosen > 0u && !reached) {
      chosen--;
      let weight = atomicLoad(&bins[digit * 16u + chosen]);
      reached = weight >= left;
      left -= select(weight, 0u, reached);
    }
    prefix = (prefix << 4u) | chosen;
  }
  // Equal keys that an earlier filter dropped stay out.
  sieve.cut_index = select(NO_TOKEN, sieve.cut_index, prefix == sieve.cut_key);
  sieve.cut_key = prefix;
  return left;
}

// Applies the filters of the row and returns the token that u falls on. All lanes hold the same sieve, also afterwards,
// scaled to the tokens that are left. One loop over the stages (top-k, top-p, draw), because compilers copy functions
// to where they are called, and three copies took seconds to compile.
fn choose(row: u32, u: f32, lane: u32) -> u32 {
  let first = settings[row % params.settings * 2u];
  let greedy = first.x == 0.0;
  let top_k = select(u32(max(first.y, 0.0)), 1u, greedy);
  sieve.base = row * params.vocabulary;
  sieve.penalty = settings[row % params.settings * 2u + 1u].x;
  sieve.cold = 1.0 / select(max(first.x, 1e-8), 1.0, greedy);
  sieve.least = 0.0;
  sieve.cut_key = 1u;
  sieve.cut_index = NO_TOKEN;
  let header = row * (ROOM + 1u);
  let length = select(0u, list[header], LISTED);
  let places = select(params.vocabulary, length, length > 0u);
  sieve.places = places;
  sieve.start = select(0u, header + 1u, length > 0u);
  var highest = 0u;
  var nan = 0u;
  for (var p = lane; p < places; p += LANES) {
    let at = token_at(p);
    highest = max(highest, at.y);
    nan |= u32(is_nan(logits[sieve.base + at.x]));
  }
  atomicMax(&top_key, highest);
  atomicOr(&broken, nan);
  workgroupBarrier();
  sieve.top = logit_of(atomicLoad(&top_key));
  var id = NO_TOKEN;
  for (var stage = 0u; stage < 3u; stage++) {
    let by_count = stage == 0u && top_k > 0u && top_k < params.vocabulary;
    let by_mass = stage == 1u && first.z < 1.0 && !greedy;
    let last = stage == 2u;
    sieve.least = select(0.0, first.w, last && !greedy);
    if (by_mass || last) {
      sieve.scale = UNIT / max(total_likelihood(lane), 1e-30);
    }
    var left = 1u;
    if (by_count && top_k == 1u) {
      sieve.cut_key = atomicLoad(&top_key);
    } else if (by_count || by_mass) {
      left = narrow(by_mass, top_k, first.z, lane);
    }
    if (by_count || by_mass || last) {
      let found = search(select(select(TIED, TIED_MASS, by_mass), MASS, last), left - 1u, u, places, lane);
      if (last) {
        id = found;
      } else {
        sieve.cut_index = min(sieve.cut_index, found);
      }
    }
  }
  return id;
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.x + group.y * groups.x;
  let row = min(place, params.rows - 1u);
  let now = state[row];
  if (lane == 0u) {
    drawn = f32(philox(vec4u(row, CALL, now.zw), now.xy).x >> 8u) * 5.9604645e-8;
    if (GIVEN) {
      drawn = uniforms[row];
    }
  }
  workgroupBarrier();
  var id = choose(row, drawn, lane);
  if (lane == 0u && place == row) {
    if (atomicLoad(&broken) != 0u || atomicLoad(&top_key) == 0u) {
      id = NO_TOKEN;
    }
    if (id < params.vocabulary) {
      seen[sieve.base + id] += 1u;
    }
    token[row] = id;
    history[now.z % params.capacity * params.rows + row] = id;
    let position = now.z + 1u;
    state[row] = vec4u(now.xy, position, now.w + u32(position == 0u));
  }
}

// What `forward` would draw from: the probability of each token after the filters.
@compute @workgroup_size(LANES)
fn distribution(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.x + group.y * groups.x;
  let row = min(place, params.rows - 1u);
  _ = choose(row, 0.0, lane);
  if (place == row) {
    for (var i = lane; i < params.vocabulary; i += LANES) {
      probabilities[sieve.base + i] = likelihood(i, key_of(i)) * sieve.scale / UNIT;
    }
  }
}
