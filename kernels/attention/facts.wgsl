// What the gradients of attention need of each row besides its operands: the maximum m_i of its scores, 1 / l_i with l_i
// the sum of exp(s_ij - m_i), or 0 if it saw no key, and delta_i = dy_i y_i - dlse_i.
// Shapes: y, dy (B, H, Tq, D) anywhere in a tensor: steps = (first, batch, head, row), in words, which are elements with
// ELEMENTS.
// Dispatch: ceil(B H Tq / 64) workgroups, one row an invocation.

alias word = vec4f;                  // f32 with ELEMENTS
override ELEMENTS: bool = false;
override DLSE: bool = false;         // lse has a gradient

struct Params {
  batch: u32,      // B
  heads: u32,      // H
  queries: u32,    // Tq
  size: u32,       // D
  vectors: u32,    // D / 4, rounded up
  y_steps: vec4u,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<word>;              // (B, H, Tq, D)
@group(0) @binding(2) var<storage, read> dy: array<word>;             // (B, H, Tq, D)
@group(0) @binding(3) var<storage, read> norms: array<vec2f>;         // (B, H, Tq) of (maximum, sum)
@group(0) @binding(4) var<storage, read> dlse: array<f32>;            // (B, H, Tq)
@group(0) @binding(5) var<storage, read_write> facts: array<vec4f>;   // (B, H, Tq) of (maximum, 1 / sum, delta, 0)

fn load_y(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(y[p]).x, vec4f(y[p + 1u]).x, vec4f(y[p + 2u]).x, vec4f(y[p + 3u]).x), inside);
  }
  return vec4f(y[at + d]);
}

fn load_dy(at: u32, d: u32) -> vec4f {
  if (ELEMENTS) {
    let p = at + 4u * d;
    let inside = vec4u(4u * d) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.size);
    return select(vec4f(), vec4f(vec4f(dy[p]).x, vec4f(dy[p + 1u]).x, vec4f(dy[p + 2u]).x, vec4f(dy[p + 3u]).x), inside);
  }
  return vec4f(dy[at + d]);
}

@compute @workgroup_size(64)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i < params.batch * params.heads * params.queries) {
    let head = i / params.queries;
    let at = params.y_steps.x + head / params.heads * params.y_steps.y + head % params.heads * params.y_steps.z
      + i % params.queries * params.y_steps.w;
    var sum = vec4f();
    for (var d = 0u; d < params.vectors; d++) {
      sum += load_y(at, d) * load_dy(at, d);
    }
    var delta = (sum.x + sum.y) + (sum.z + sum.w);
    if (DLSE) {
      delta -= dlse[i];
    }
    let norm = norms[i];
    facts[i] = vec4f(norm.x, select(1.0 / norm.y, 0.0, norm.y == 0.0), delta, 0.0);
  }
}
