// Sum, maximum or minimum over one axis: y[o, i] = reduce over r of x[o, r, i].
// Shapes: x is (O, R, I), y is (O, I); a column is a pair (o, i), and `count`, `inner` and `columns` are in elements of type elem.
// vec4f elements reduce four columns at once where I divides by 4 and, with FOLD, four elements of a column where I is 1 and R divides by 4.
// Dispatch: ceil(columns / (BLOCK / HEIGHT)) workgroups along x, and along z the splits of a long axis: workgroup z reduces `chunk`
// elements and writes y as (O, splits, I), which a second launch reduces. Each column is added up by HEIGHT invocations and then as a tree,
// always in the same order. A NaN stays in maxima and minima.

alias elem = f32;    // vec4f: four elements at once
alias bits = u32;    // vec4u with vec4f
const WIDTH: u32 = 1u;  // components of elem

override BLOCK: u32 = 64u;      // invocations a workgroup
override HEIGHT: u32 = 64u;     // invocations a column, a power of two
override OP: u32 = 0u;          // 0 sum, 1 maximum, 2 minimum
override FOLD: bool = false;    // the components of a vector belong to one column
override ALONG: bool = true;    // neighbouring invocations take neighbouring elements of a column; false: neighbouring columns
override ADD: bool = false;     // add to y

struct Params {
  columns: u32,
  count: u32,   // elements of a column
  inner: u32,   // step from one to the next
  chunk: u32,   // elements that one workgroup takes of a column
  scale: f32,   // of the result
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;        // (O, R, I)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // (O, splits, I)

var<workgroup> partial: array<elem, BLOCK>;

// NaN of either operand is kept; the built-in min and max may drop it.
fn keep_nan(u: elem, v: elem, y: elem) -> elem {
  let largest = bits(0x7f800000u);
  let sign = bits(0x7fffffffu);
  return select(select(y, v, (bitcast<bits>(v) & sign) > largest), u, (bitcast<bits>(u) & sign) > largest);
}

fn combine(u: elem, v: elem) -> elem {
  if (OP == 0u) {
    return u + v;
  }
  if (OP == 1u) {
    return keep_nan(u, v, max(u, v));
  }
  return keep_nan(u, v, min(u, v));
}

@compute @workgroup_size(BLOCK)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let across = BLOCK / HEIGHT;
  let part = select(lane / across, lane % HEIGHT, ALONG);
  let slot = select(lane % across, lane / HEIGHT, ALONG);
  let column = (group.x + group.y * groups.x) * across + slot;
  let live = column < params.columns;
  let outer = column / params.inner;
  let base = outer * params.count * params.inner + column % params.inner;
  let start = group.z * params.chunk;
  let stop = min(start + params.chunk, params.count);
  var total = elem(0.0);
  if (live) {
    if (OP != 0u) {
      // The first element in place of an infinity: repeating it changes no maximum.
      total = x[base + start * params.inner];
    }
    for (var r = start + part; r < stop; r += HEIGHT) {
      total = combine(total, x[base + r * params.inner]);
    }
  }
  if (HEIGHT > 1u) {
    let mine = slot * HEIGHT + part;
    partial[mine] = total;
    for (var half = HEIGHT / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (part < half) {
        partial[mine] = combine(partial[mine], partial[mine + half]);
      }
    }
    workgroupBarrier();
    total = partial[slot * HEIGHT];
  }
  if (live && part == 0u) {
    let whole = vec4f(total);
    let at = (outer * groups.z + group.z) * params.inner + column % params.inner;
    if (FOLD) {
      let folded = combine(combine(elem(whole.x), elem(whole.y)), combine(elem(whole.z), elem(whole.w)));
      y[at] = select(0.0, y[at], ADD) + vec4f(folded).x * params.scale;
    } else {
      for (var k = 0u; k < WIDTH; k++) {
        y[at * WIDTH + k] = select(0.0, y[at * WIDTH + k], ADD) + whole[k] * params.scale;
      }
    }
  }
}
