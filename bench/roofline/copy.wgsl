// Bandwidth of storage: y = x, a vector an invocation.
// Shapes: x and y of N vectors.
// Dispatch: one workgroup of 64 a 64 vectors. Bytes: 32 an invocation.

@group(0) @binding(0) var<storage, read> x: array<vec4f>;       // (N)
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>; // (N)

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 64u;
  if (i < arrayLength(&y)) {
    y[i] = x[i];
  }
}
