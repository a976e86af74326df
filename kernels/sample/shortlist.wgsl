// Which tokens of a row can be among the k best that sample.wgsl draws from, in the order of the vocabulary: its passes then go
// through these alone. The k-th best of the best tokens of PARTS parts of the vocabulary is a token as well, so no better than
// the k-th best of all, and few others are as good: 44 of any vocabulary on average for k = 40.
// A row has no list, which is 0 tokens, where k is below 2 or above FEW, where more than ROOM tokens are as good, and where
// a logit is NaN.
// Tokens are ordered as in sample.wgsl, by the bits of the logit after the repetition penalty.
// Shapes: B rows of V logits. Dispatch: B workgroups.

override LANES: u32 = 64u;  // invocations a row

const PARTS: u32 = 256u;            // token i is of part i % PARTS
const FEW: u32 = PARTS / 2u;        // most tokens of a top-k that has a list
const ROOM: u32 = 512u;             // tokens that a list can hold
const LARGEST: u32 = 0x7149f2cau;   // bits of 1e30, to which logits are clamped
const MIDDLE: u32 = 0x80000000u;    // key of 0

struct Params {
  rows: u32,        // B
  vocabulary: u32,  // V
  settings: u32,    // rows of settings, B or 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;      // (B, V), f32 as bits
@group(0) @binding(2) var<storage, read> settings: array<vec4f>;  // (B or 1, 2): temperature, top-k, top-p, min-p; penalty
@group(0) @binding(3) var<storage, read> seen: array<u32>;        // (B, V), how often each token occurred
@group(0) @binding(4) var<storage, read_write> list: array<u32>;  // (B, ROOM + 1): how many, then tokens

var<workgroup> peaks: array<u32, PARTS>;     // best key of each part
var<workgroup> threshold: u32;               // least key in the list
var<workgroup> broken: atomic<u32>;
var<workgroup> found: atomic<u32>;
var<workgroup> unordered: array<u32, ROOM>;  // the tokens as they were found

fn is_nan(bits: u32) -> bool {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}

// Rank of token i as an unsigned number: its magnitude above or below the middle. 0: never drawn.
fn rank_of(at: u32, penalty: f32) -> u32 {
  let bits = logits[at];
  var magnitude = min(bits & 0x7fffffffu, LARGEST);
  let negative = bitcast<i32>(bits) < 0;
  if (penalty != 1.0) {
    let size = bitcast<f32>(magnitude);
    let fined = select(size / penalty, size * penalty, negative);
    magnitude = select(magnitude, min(bitcast<u32>(fined), LARGEST), seen[at] > 0u);
  }
  return select(select(MIDDLE + magnitude, MIDDLE - magnitude, negative), 0u, (bits == 0xff800000u) | is_nan(bits));
}

@compute @workgroup_size(LANES)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = group.x + group.y * groups.x;
  let row = min(place, params.rows - 1u);
  let base = row * params.vocabulary;
  let first = settings[row % params.settings * 2u];
  let penalty = settings[row % params.settings * 2u + 1u].x;
  let count = select(u32(max(first.y, 0.0)), 1u, first.x == 0.0);
  let start = row * (ROOM + 1u);
  let wanted = count > 1u && count <= FEW;
  if (wanted) {
    var nan = 0u;
    for (var part = lane; part < PARTS; part += LANES) {
      var peak = 0u;
      for (var i = part; i < params.vocabulary; i += PARTS) {
        peak = max(peak, rank_of(base + i, penalty));
        nan |= u32(is_nan(logits[base + i]));
      }
      peaks[part] = peak;
    }
    atomicOr(&broken, nan);
    workgroupBarrier();
    for (var part = lane; part < PARTS; part += LANES) {
      let own = peaks[part];
      var above = 0u;
      for (var other = 0u; other < PARTS; other++) {
        above += u32((peaks[other] > own) | ((peaks[other] == own) & (other < part)));
      }
      if (above == count - 1u) {
        threshold = max(own, 1u);
      }
    }
    workgroupBarrier();
    for (var i = lane; i < params.vocabulary; i += LANES) {
      if (rank_of(base + i, penalty) >= threshold) {
        let p = atomicAdd(&found, 1u);
        if (p < ROOM) {
          unordered[p] = i;
        }
      }
    }
    workgroupBarrier();
    // In the order of the vocabulary, whoever came first: results repeat bit by bit.
    let kept = min(atomicLoad(&found), ROOM);
    for (var p = lane; p < kept && place == row; p += LANES) {
      let i = unordered[p];
      var before = 0u;
      for (var other = 0u; other < kept; other++) {
        before += u32(unordered[other] < i);
      }
      list[start + 1u + before] = i;
    }
  }
  if (lane == 0u && place == row) {
    let all = atomicLoad(&found);
    list[start] = select(0u, all, wanted && all <= ROOM && atomicLoad(&broken) == 0u);
  }
}
