/** Who takes part, in the order of the table's columns. Each has a file of its name in adapters/. */
export interface Peer {
  readonly name: string;
  /**
   * `self`: this engine. `peer`: WebGPU engines that it is compared with. `yardstick`: kernels written by hand for one
   * workload. `cpu`: for information; where the GPU is emulated, both run on the same cores.
   */
  readonly role: "self" | "peer" | "yardstick" | "cpu";
  /** npm package whose version the report names. */
  readonly version?: string;
  /** Files that the engine loads beside its bundle, below node_modules. */
  readonly loads?: readonly string[];
}

const ORT = "onnxruntime-web/dist";

export const PEERS: readonly Peer[] = [
  { name: "ostinato", role: "self" },
  { name: "jax-webgpu", role: "peer", version: "@jax-js/jax" },
  { name: "tfjs-webgpu", role: "peer", version: "@tensorflow/tfjs" },
  {
    name: "ort-webgpu",
    role: "peer",
    version: "onnxruntime-web",
    loads: [
      `${ORT}/ort.webgpu.min.mjs`,
      `${ORT}/ort-wasm-simd-threaded.asyncify.mjs`,
      `${ORT}/ort-wasm-simd-threaded.asyncify.wasm`,
    ],
  },
  { name: "raw-wgsl", role: "yardstick" },
  {
    name: "tfjs-wasm",
    role: "cpu",
    loads: ["@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm"],
  },
  { name: "plain-js", role: "cpu" },
];
