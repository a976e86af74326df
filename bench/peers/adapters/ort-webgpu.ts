/**
 * ONNX Runtime Web: graphs written in ONNX, for inference only. Its fused attention is left out because it gives wrong
 * rows at subgroups of four lanes, without a word.
 */
import type * as Ort from "onnxruntime-web/webgpu";
import type { Engine, Work } from "../page/engine.ts";
import type { Attention, LstmGenerate, Outputs, Wkv, Workload } from "../workloads.ts";
import { FLOAT, Graph, INT64 } from "./ort-graph.ts";

/** Not bundled: it loads its WebAssembly from beside itself. */
const FOLDER = "/packages/onnxruntime-web/dist/";

type Results = Readonly<Record<string, Ort.Tensor | Float32Array>>;

interface Runtime {
  readonly ort: typeof Ort;
  readonly device: GPUDevice;
  open(graph: Graph, outputs?: Readonly<Record<string, "cpu" | "gpu-buffer">>): Promise<Ort.InferenceSession>;
  upload(data: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>, shape: readonly number[]): Ort.Tensor;
}

async function start(): Promise<Runtime> {
  const ort = (await import(/* @vite-ignore */ `${FOLDER}ort.webgpu.min.mjs`)) as typeof Ort;
  ort.env.wasm.wasmPaths = FOLDER;
  ort.env.wasm.numThreads = navigator.hardwareConcurrency;
  ort.env.logLevel = "error";
  const open: Runtime["open"] = (graph, outputs) =>
    ort.InferenceSession.create(graph.encode(), {
      executionProviders: [{ name: "webgpu", preferredLayout: "NCHW" }],
      graphOptimizationLevel: "all",
      preferredOutputLocation: outputs ?? "gpu-buffer",
      logSeverityLevel: 3,
    });
  // The device exists once a session does.
  const first = new Graph();
  first.output("y", FLOAT, [4], first.op("Neg", [first.input("x", FLOAT, [4])]));
  await open(first);
  const device = await ort.env.webgpu.device;
  return {
    ort,
    device,
    open,
    upload(data, shape) {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage });
      device.queue.writeBuffer(buffer, 0, data);
      const dataType = data instanceof Float32Array ? "float32" : "int64";
      return ort.Tensor.fromGpuBuffer(buffer, { dataType, dims: shape });
    },
  };
}

/** A graph from the workload's inputs to y. */
async function forward(
  runtime: Runtime,
  workload: Workload,
  inputs: readonly string[],
  build: (graph: Graph) => string,
) {
  const graph = new Graph();
  const arrays = workload.inputs as unknown as Readonly<
    Record<string, { data: Float32Array<ArrayBuffer>; shape: readonly number[] }>
  >;
  for (const name of inputs) graph.input(name, FLOAT, arrays[name].shape);
  graph.output("y", FLOAT, outputShape(workload), build(graph));
  const session = await runtime.open(graph);
  const feeds = Object.fromEntries(inputs.map((name) => [name, runtime.upload(arrays[name].data, arrays[name].shape)]));
  return async (): Promise<Results> => session.run(feeds) as Promise<Record<string, Ort.Tensor>>;
}

function outputShape(workload: Workload): readonly number[] {
  switch (workload.kind) {
    case "matmul":
      return [workload.sizes.M, workload.sizes.N];
    case "attention":
      return workload.inputs.q.shape;
    case "wkv":
      return workload.inputs.k.shape;
    case "softmax":
    case "layernorm":
      return workload.inputs.x.shape;
    default:
      return [];
  }
}

function attention(graph: Graph, { T, D }: Attention["sizes"]): string {
  const transposed = graph.op("Transpose", ["k"], { perm: [0, 1, 3, 2] });
  const factor = graph.constant([], Float32Array.of(1 / Math.sqrt(D)));
  const mask = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0));
  const scores = graph.op("Mul", [graph.op("MatMul", ["q", transposed]), factor]);
  const masked = graph.op("Add", [scores, graph.constant([1, 1, T, T], mask)]);
  return graph.op("MatMul", [graph.op("Softmax", [masked], { axis: -1 }), "v"]);
}

/** Unrolled: ONNX has no node for it. */
function wkv(graph: Graph, { B, T, C }: Wkv["sizes"]): string {
  const op = (type: string, ...inputs: string[]) => graph.op(type, inputs);
  const filled = (value: number) => graph.constant([B, C], new Float32Array(B * C).fill(value));
  const axis = graph.constant([1], BigInt64Array.of(1n));
  let [a, b, p] = [filled(0), filled(0), filled(-1e30)];
  const steps = Array.from({ length: T }, (_, t) => {
    const step = graph.constant([], BigInt64Array.of(BigInt(t)));
    const [kt, vt] = ["k", "v"].map((name) => graph.op("Gather", [name, step], { axis: 1 }));
    const merged = (pp: string, kk: string) => {
      const most = op("Max", pp, kk);
      const [before, now] = [op("Exp", op("Sub", pp, most)), op("Exp", op("Sub", kk, most))];
      return [op("Add", op("Mul", before, a), op("Mul", now, vt)), op("Add", op("Mul", before, b), now), most];
    };
    const [above, below] = merged(p, op("Add", "u", kt));
    if (t < T - 1) [a, b, p] = merged(op("Add", p, "w"), kt);
    return op("Unsqueeze", op("Div", above, below), axis);
  });
  return graph.op("Concat", steps, { axis: 1 });
}

/** One token: from token, h, c (and a row of noise) to the next state and the logits, or the next token. */
function lstmGraph({ sizes: { V, H, readBack }, parameters }: LstmGenerate): Graph {
  const graph = new Graph();
  const op = (type: string, ...inputs: string[]) => graph.op(type, inputs);
  const weight = (name: keyof LstmGenerate["parameters"]) =>
    graph.constant(parameters[name].shape, parameters[name].data);
  graph.input("token", INT64, [1]);
  graph.input("h", FLOAT, [1, H]);
  graph.input("c", FLOAT, [1, H]);
  const x = graph.op("Gather", [weight("emb"), "token"], { axis: 0 });
  const z = op("Add", op("Add", op("MatMul", x, weight("wx")), weight("b")), op("MatMul", "h", weight("wh")));
  const [i, f, g, o] = graph.ops("Split", [z], { axis: 1, num_outputs: 4 }, 4);
  const c = op("Add", op("Mul", op("Sigmoid", f), "c"), op("Mul", op("Sigmoid", i), op("Tanh", g)));
  const h = op("Mul", op("Sigmoid", o), op("Tanh", c));
  const logits = op("Add", op("MatMul", h, weight("wo")), weight("bo"));
  if (readBack) graph.output("logits", FLOAT, [1, V], logits);
  else {
    const scores = op("Add", logits, graph.input("noise", FLOAT, [1, V]));
    graph.output("next", INT64, [1], graph.op("ArgMax", [scores], { axis: 1, keepdims: 0 }));
  }
  graph.output("h2", FLOAT, [1, H], h);
  graph.output("c2", FLOAT, [1, H], c);
  return graph;
}

async function generation(runtime: Runtime, workload: LstmGenerate): Promise<() => Promise<Results>> {
  const { H, N, V, start, readBack } = workload.sizes;
  const noise = workload.inputs.noise.data;
  const { ort } = runtime;
  const id = (token: number) => BigInt64Array.of(BigInt(token));
  const zeros = runtime.upload(new Float32Array(H), [1, H]);
  const release = (...tensors: Ort.Tensor[]) => {
    for (const tensor of tensors) if (tensor !== zeros) tensor.dispose();
  };
  if (readBack) {
    const session = await runtime.open(lstmGraph(workload), { logits: "cpu", h2: "gpu-buffer", c2: "gpu-buffer" });
    return async () => {
      const tokens = new Float32Array(N);
      let [h, c] = [zeros, zeros];
      for (let n = 0, token = start; n < N; n++) {
        const { logits, h2, c2 } = await session.run({ token: new ort.Tensor("int64", id(token), [1]), h, c });
        release(h, c);
        [h, c] = [h2, c2];
        const scores = (logits.data as Float32Array).map((logit, i) => logit + noise[n * V + i]);
        token = scores.indexOf(Math.max(...scores));
        tokens[n] = token;
      }
      release(h, c);
      return { tokens };
    };
  }
  const session = await runtime.open(lstmGraph(workload));
  const rows = Array.from({ length: N }, (_, n) => runtime.upload(noise.slice(n * V, (n + 1) * V), [1, V]));
  const first = runtime.upload(id(start), [1]);
  return async () => {
    const drawn: Ort.Tensor[] = [];
    let [h, c, token] = [zeros, zeros, first];
    for (const noise of rows) {
      const { next, h2, c2 } = await session.run({ token, h, c, noise });
      release(h, c);
      [h, c, token] = [h2, c2, next];
      drawn.push(token);
    }
    release(h, c);
    const tokens = new Float32Array(N);
    for (const [n, tensor] of drawn.entries()) {
      tokens[n] = Number((await tensor.getData())[0]);
      tensor.dispose();
    }
    return { tokens };
  };
}

function calculation(runtime: Runtime, workload: Workload): Promise<() => Promise<Results>> {
  switch (workload.kind) {
    case "matmul":
      return forward(runtime, workload, ["a", "b"], (graph) => graph.op("MatMul", ["a", "b"]));
    case "softmax":
      return forward(runtime, workload, ["x"], (graph) => graph.op("Softmax", ["x"], { axis: -1 }));
    case "layernorm": {
      const epsilon = { float: workload.sizes.eps };
      return forward(runtime, workload, ["x", "g", "b"], (graph) =>
        graph.op("LayerNormalization", ["x", "g", "b"], { axis: -1, epsilon }),
      );
    }
    case "attention":
      return forward(runtime, workload, ["q", "k", "v"], (graph) => attention(graph, workload.sizes));
    case "wkv":
      return forward(runtime, workload, ["w", "u", "k", "v"], (graph) => wkv(graph, workload.sizes));
    case "lstmGenerate":
      return generation(runtime, workload);
    default:
      throw new Error(`ort-webgpu: ${workload.kind} needs gradients`);
  }
}

function unsupported({ kind, sizes }: Workload): string | null {
  const needsGradients = kind === "crossEntropy" || kind === "lstmTrain" || kind === "gptTrain";
  return needsGradients || ("backward" in sizes && sizes.backward) ? "onnxruntime-web has no gradients" : null;
}

export const engine: Engine = {
  unsupported,
  async prepare(workload): Promise<Work> {
    const runtime = await start();
    const calculate = await calculation(runtime, workload);
    let results: Results = {};
    return {
      async step() {
        const next = await calculate();
        for (const result of Object.values(results)) if (!(result instanceof Float32Array)) result.dispose();
        results = next;
      },
      sync: () => runtime.device.queue.onSubmittedWorkDone(),
      async read(): Promise<Outputs> {
        const entries = Object.entries(results).map(async ([name, result]) => {
          const values = result instanceof Float32Array ? result : ((await result.getData()) as Float32Array);
          return [name, values] as const;
        });
        return Object.fromEntries(await Promise.all(entries));
      },
      dispose: () => {},
    };
  },
};
