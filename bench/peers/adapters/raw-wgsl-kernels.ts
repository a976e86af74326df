/** Text of the yardstick's kernels, with sizes as literals. Rows and channels are multiples of 32. */

type Binding = readonly [name: string, element: string, access?: "read" | "read_write"];

const declare = (...bindings: readonly Binding[]): string =>
  bindings
    .map(
      ([name, element, access = "read"], i) =>
        `@group(0) @binding(${i}) var<storage, ${access}> ${name}: array<${element}>;`,
    )
    .join("\n");

const each = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

/** One row of a times four columns of b an invocation. */
export const vectorMatrix = (K: number, N: number): string => `
${declare(["a", "vec4f"], ["b", "vec4f"], ["y", "vec4f", "read_write"])}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = vec4f();
  for (var k = 0u; k < ${K / 4}u; k++) {
    let x = a[k];
    let row = k * ${N}u + id.x;
    sum += x.x * b[row] + x.y * b[row + ${N / 4}u] + x.z * b[row + ${N / 2}u] + x.w * b[row + ${(3 * N) / 4}u];
  }
  y[id.x] = sum;
}`;

/** A block of four rows and four columns of y an invocation. */
export const matmul = (K: number, N: number): string => `
${declare(["a", "vec4f"], ["b", "vec4f"], ["y", "vec4f", "read_write"])}
@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  let top = id.y * 4u;
  ${each(4, (r) => `var c${r} = vec4f();`)}
  for (var k = 0u; k < ${K / 4}u; k++) {
    let row = k * ${N}u + id.x;
    ${each(4, (r) => `let b${r} = b[row + ${(r * N) / 4}u];`)}
    ${each(4, (r) => `let a${r} = a[(top + ${r}u) * ${K / 4}u + k]; c${r} += a${r}.x * b0 + a${r}.y * b1 + a${r}.z * b2 + a${r}.w * b3;`)}
  }
  ${each(4, (r) => `y[(top + ${r}u) * ${N / 4}u + id.x] = c${r};`)}
}`;

/** A workgroup of 32 a row: each adds up its part, then all read all parts. */
const rowHead = `
var<workgroup> parts: array<f32, 32>;
fn across(v: vec4f) -> f32 { return v.x + v.y + v.z + v.w; }`;

export const softmax = (C: number): string => `
${declare(["x", "vec4f"], ["y", "vec4f", "read_write"])}${rowHead}
@compute @workgroup_size(32) fn main(@builtin(workgroup_id) row: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let start = row.x * ${C / 4}u;
  var most = vec4f(-1e30);
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { most = max(most, x[start + i]); }
  parts[lane.x] = max(max(most.x, most.y), max(most.z, most.w));
  workgroupBarrier();
  var largest = parts[0];
  for (var i = 1u; i < 32u; i++) { largest = max(largest, parts[i]); }
  workgroupBarrier();
  var sums = vec4f();
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { let e = exp(x[start + i] - largest); y[start + i] = e; sums += e; }
  parts[lane.x] = across(sums);
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 32u; i++) { sum += parts[i]; }
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { y[start + i] *= 1.0 / sum; }
}`;

export const layerNorm = (C: number, eps: number): string => `
${declare(["x", "vec4f"], ["gain", "vec4f"], ["bias", "vec4f"], ["y", "vec4f", "read_write"])}${rowHead}
@compute @workgroup_size(32) fn main(@builtin(workgroup_id) row: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let start = row.x * ${C / 4}u;
  var sums = vec4f();
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { sums += x[start + i]; }
  parts[lane.x] = across(sums);
  workgroupBarrier();
  var mean = 0.0;
  for (var i = 0u; i < 32u; i++) { mean += parts[i] / ${C}.0; }
  workgroupBarrier();
  var squares = vec4f();
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { let d = x[start + i] - mean; squares += d * d; }
  parts[lane.x] = across(squares);
  workgroupBarrier();
  var variance = 0.0;
  for (var i = 0u; i < 32u; i++) { variance += parts[i] / ${C}.0; }
  let scale = inverseSqrt(variance + ${eps});
  for (var i = lane.x; i < ${C / 4}u; i += 32u) { y[start + i] = (x[start + i] - mean) * scale * gain[i] + bias[i]; }
}`;

/** One query an invocation, with the running maximum of flash attention. */
export const attention = (T: number, D: number): string => `
${declare(["q", "vec4f"], ["k", "vec4f"], ["v", "vec4f"], ["y", "vec4f", "read_write"])}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
  let head = id.y * ${(T * D) / 4}u;
  let own = head + id.x * ${D / 4}u;
  ${each(D / 4, (d) => `let q${d} = q[own + ${d}u] * ${1 / Math.sqrt(D)}; var o${d} = vec4f();`)}
  var most = -1e30;
  var sum = 0.0;
  for (var j = 0u; j <= id.x; j++) {
    let row = head + j * ${D / 4}u;
    var dots = vec4f();
    ${each(D / 4, (d) => `dots += q${d} * k[row + ${d}u];`)}
    let score = dots.x + dots.y + dots.z + dots.w;
    if (score > most) {
      let f = exp(most - score);
      sum *= f;
      ${each(D / 4, (d) => `o${d} *= f;`)}
      most = score;
    }
    let p = exp(score - most);
    sum += p;
    ${each(D / 4, (d) => `o${d} += p * v[row + ${d}u];`)}
  }
  ${each(D / 4, (d) => `y[own + ${d}u] = o${d} / sum;`)}
}`;

/** Adds (k, v) of step i to the state; leaves the factors in `keep` and `add`. */
const advance = (decay: string): string => `
      let faded = p + ${decay};
      let next = max(faded, k[i]);
      let keep = exp(faded - next);
      let add = exp(k[i] - next);
      a = keep * a + add * v[i];
      b = keep * b + add;
      p = next;`;

/** One channel an invocation. */
export const wkv = (T: number, C: number): string => `
${declare(["w", "f32"], ["u", "f32"], ["k", "f32"], ["v", "f32"], ["y", "f32", "read_write"])}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x % ${C}u;
  let start = (id.x / ${C}u) * ${T * C}u + c;
  var a = 0.0;
  var b = 0.0;
  var p = -1e30;
  for (var t = 0u; t < ${T}u; t++) {
    let i = start + t * ${C}u;
    let boosted = u[c] + k[i];
    let most = max(p, boosted);
    let before = exp(p - most);
    let now = exp(boosted - most);
    y[i] = (before * a + now * v[i]) / (before * b + now);
    ${advance("w[c]")}
  }
}`;

/** Forward storing every state, then backward in time. ga and gb are scaled by exp(-scale), as a and b are by exp(p). */
export const wkvBackward = (B: number, T: number, C: number): string => `
${declare(["wu", "f32"], ["k", "f32"], ["v", "f32"], ["dy", "f32"], ["dk", "f32", "read_write"], ["dv", "f32", "read_write"], ["states", "f32", "read_write"], ["shares", "f32", "read_write"])}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x % ${C}u;
  let start = (id.x / ${C}u) * ${T * C}u + c;
  let w = wu[c];
  let u = wu[${C}u + c];
  var a = 0.0;
  var b = 0.0;
  var p = -1e30;
  for (var t = 0u; t < ${T}u; t++) {
    let i = start + t * ${C}u;
    states[i] = a;
    states[i + ${B * T * C}u] = b;
    states[i + ${2 * B * T * C}u] = p;
    ${advance("w")}
  }
  var ga = 0.0;
  var gb = 0.0;
  var scale = p;
  var dw = 0.0;
  var du = 0.0;
  for (var s = 0u; s < ${T}u; s++) {
    let i = start + (${T - 1}u - s) * ${C}u;
    a = states[i];
    b = states[i + ${B * T * C}u];
    p = states[i + ${2 * B * T * C}u];
    let keep = exp(p + w - scale);
    let add = exp(k[i] - scale);
    dw += keep * (ga * a + gb * b);
    let boosted = u + k[i];
    let most = max(p, boosted);
    let before = exp(p - most);
    let now = exp(boosted - most);
    let y = (before * a + now * v[i]) / (before * b + now);
    let d = dy[i] / (before * b + now);
    let through = d * now * (v[i] - y);
    du += through;
    dk[i] = add * (ga * v[i] + gb) + through;
    dv[i] = ga * add + d * now;
    ga = ga * keep + d * before;
    gb = gb * keep - d * before * y;
    scale = p;
  }
  shares[id.x] = dw;
  shares[id.x + ${B * C}u] = du;
}`;

/** Sums over the batch. */
export const wkvSums = (B: number, C: number): string => `
${declare(["shares", "f32"], ["dw", "f32", "read_write"], ["du", "f32", "read_write"])}
@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3u) {
  var w = 0.0;
  var u = 0.0;
  for (var n = 0u; n < ${B}u; n++) {
    w += shares[n * ${C}u + id.x];
    u += shares[(${B}u + n) * ${C}u + id.x];
  }
  dw[id.x] = w;
  du[id.x] = u;
}`;

/** One unit an invocation; the whole model in one workgroup, `count` tokens a dispatch. */
export const lstm = ({ V, H }: { readonly V: number; readonly H: number }, count: number): string => `
${declare(["table", "vec4f"], ["hidden", "vec4f"], ["head", "f32"], ["bias", "f32"], ["noise", "f32"], ["state", "f32", "read_write"], ["tokens", "u32", "read_write"], ["position", "u32", "read_write"])}
var<workgroup> h: array<f32, ${H}>;
var<workgroup> scores: array<f32, ${V}>;
var<workgroup> token: u32;
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
@compute @workgroup_size(${H}) fn main(@builtin(local_invocation_id) id: vec3u) {
  let unit = id.x;
  let first = position[0];
  var c = state[${H}u + unit];
  h[unit] = state[unit];
  if (unit == 0u) { token = position[1]; }
  workgroupBarrier();
  // The bound is a literal: one read from storage would make the barriers non-uniform.
  for (var i = 0u; i < ${count}u; i++) {
    let n = first + i;
    var z = table[token * ${H}u + unit];
    for (var k = 0u; k < ${H}u; k++) { z += h[k] * hidden[k * ${H}u + unit]; }
    c = sigmoid(z.y) * c + sigmoid(z.x) * tanh(z.z);
    workgroupBarrier();
    h[unit] = sigmoid(z.w) * tanh(c);
    workgroupBarrier();
    if (unit < ${V}u) {
      var score = bias[unit] + noise[n * ${V}u + unit];
      for (var k = 0u; k < ${H}u; k++) { score += h[k] * head[k * ${V}u + unit]; }
      scores[unit] = score;
    }
    workgroupBarrier();
    if (unit == 0u) {
      var best = 0u;
      for (var j = 1u; j < ${V}u; j++) { if (scores[j] > scores[best]) { best = j; } }
      token = best;
      tokens[n] = best;
    }
    workgroupBarrier();
  }
  state[unit] = h[unit];
  state[${H}u + unit] = c;
  if (unit == 0u) {
    position[0] = first + ${count}u;
    position[1] = token;
  }
}`;
