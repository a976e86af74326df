/**
 * No engine: kernels written by hand for one workload each, with its sizes as literals. They show what the same machine
 * can reach. Two do less work than the engines: generation folds the embedding into a table on the host, attention
 * skips the masked half. Pipelines are built in `prepare`, so the first step is not comparable.
 */
import type { Engine, Work } from "../page/engine.ts";
import type { Attention, LayerNorm, LstmGenerate, Matmul, Softmax, Wkv, Workload } from "../workloads.ts";
import * as wgsl from "./raw-wgsl-kernels.ts";

/** A launch of a kernel. */
interface Launch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly groups: readonly [number, number];
}

/** Buffers and kernels of one device. */
class Bench {
  readonly device: GPUDevice;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  upload({ data }: { readonly data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> }): GPUBuffer {
    const buffer = this.empty(data.length);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  empty(length: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.device.createBuffer({ size: Math.max(16, 4 * length), usage });
  }

  launch(code: string, buffers: readonly GPUBuffer[], groups: readonly [number, number]): Launch {
    const module = this.device.createShaderModule({ code });
    const pipeline = this.device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return { pipeline, group, groups };
  }

  run(
    launches: readonly Launch[],
    copy?: { readonly from: GPUBuffer; readonly offset: number; readonly to: GPUBuffer },
  ): void {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { pipeline, group, groups } of launches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    if (copy) encoder.copyBufferToBuffer(copy.from, copy.offset, copy.to, 0, 4);
    this.device.queue.submit([encoder.finish()]);
  }

  async read(buffer: GPUBuffer): Promise<ArrayBuffer> {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const staging = this.device.createBuffer({ size: buffer.size, usage });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange().slice(0);
    staging.destroy();
    return bytes;
  }
}

/** Work whose step is always the same launches. */
function fixed(bench: Bench, launches: readonly Launch[], outputs: Readonly<Record<string, GPUBuffer>>): Work {
  return {
    step: () => bench.run(launches),
    sync: () => bench.device.queue.onSubmittedWorkDone(),
    async read() {
      const entries = Object.entries(outputs).map(async ([name, buffer]) => [
        name,
        new Float32Array(await bench.read(buffer)),
      ]);
      return Object.fromEntries(await Promise.all(entries));
    },
    dispose: () => bench.device.destroy(),
  };
}

function matmul(bench: Bench, { sizes: { M, K, N }, inputs: { a, b } }: Matmul): Work {
  const y = bench.empty(M * N);
  const buffers = [bench.upload(a), bench.upload(b), y];
  const launch =
    M === 1
      ? bench.launch(wgsl.vectorMatrix(K, N), buffers, [N / 128, 1])
      : bench.launch(wgsl.matmul(K, N), buffers, [N / 32, M / 32]);
  return fixed(bench, [launch], { y });
}

function softmax(bench: Bench, { sizes: { R, C }, inputs: { x } }: Softmax): Work {
  const y = bench.empty(R * C);
  return fixed(bench, [bench.launch(wgsl.softmax(C), [bench.upload(x), y], [R, 1])], { y });
}

function layerNorm(bench: Bench, { sizes: { R, C, eps }, inputs: { x, g, b } }: LayerNorm): Work {
  const y = bench.empty(R * C);
  const buffers = [bench.upload(x), bench.upload(g), bench.upload(b), y];
  return fixed(bench, [bench.launch(wgsl.layerNorm(C, eps), buffers, [R, 1])], { y });
}

function attention(bench: Bench, { sizes: { H, T, D }, inputs: { q, k, v } }: Attention): Work {
  const y = bench.empty(H * T * D);
  const buffers = [bench.upload(q), bench.upload(k), bench.upload(v), y];
  return fixed(bench, [bench.launch(wgsl.attention(T, D), buffers, [T / 32, H])], { y });
}

function wkv(bench: Bench, { sizes: { B, T, C, backward }, inputs }: Wkv): Work {
  const [k, v] = [bench.upload(inputs.k), bench.upload(inputs.v)];
  const size = B * T * C;
  const groups = [(B * C) / 32, 1] as const;
  if (!backward) {
    const y = bench.empty(size);
    const buffers = [bench.upload(inputs.w), bench.upload(inputs.u), k, v, y];
    return fixed(bench, [bench.launch(wgsl.wkv(T, C), buffers, groups)], { y });
  }
  // The eight storage buffers of WebGPU's default limits make w and u share one.
  const wu = bench.upload({ data: Float32Array.of(...inputs.w.data, ...inputs.u.data) });
  const [dk, dv, states, shares] = [size, size, 3 * size, 2 * B * C].map((length) => bench.empty(length));
  const [dw, du] = [bench.empty(C), bench.empty(C)];
  const buffers = [wu, k, v, bench.upload(inputs.dout), dk, dv, states, shares];
  const launches = [
    bench.launch(wgsl.wkvBackward(B, T, C), buffers, groups),
    bench.launch(wgsl.wkvSums(B, C), [shares, dw, du], [C / 32, 1]),
  ];
  return fixed(bench, launches, { dw, du, dk, dv });
}

/** One workgroup makes all tokens in one dispatch or, with read-backs, one token a dispatch. */
function generate(bench: Bench, { sizes, inputs, parameters }: LstmGenerate): Work {
  const { H, N, start, readBack } = sizes;
  const { table, hidden } = packLstm(parameters, sizes);
  const [state, tokens] = [bench.empty(2 * H), bench.empty(N)];
  const position = bench.upload({ data: Uint32Array.of(0, start) });
  const weights = [table, hidden].map((data) => bench.upload({ data }));
  const buffers = [
    ...weights,
    ...[parameters.wo, parameters.bo, inputs.noise].map((x) => bench.upload(x)),
    state,
    tokens,
    position,
  ];
  const launches = [bench.launch(wgsl.lstm(sizes, readBack ? 1 : N), buffers, [1, 1])];
  const { queue } = bench.device;
  const token = bench.device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  return {
    async step() {
      queue.writeBuffer(state, 0, new Float32Array(2 * H));
      queue.writeBuffer(position, 0, Uint32Array.of(0, start));
      if (!readBack) return bench.run(launches);
      for (let n = 0; n < N; n++) {
        bench.run(launches, { from: tokens, offset: 4 * n, to: token });
        await token.mapAsync(GPUMapMode.READ);
        token.unmap();
      }
    },
    sync: () => queue.onSubmittedWorkDone(),
    read: async () => ({ tokens: new Uint32Array(await bench.read(tokens)) }),
    dispose: () => bench.device.destroy(),
  };
}

/** Weights with the four gates of a unit side by side: emb wx + b as a table (V, H, 4), and wh as (H, H, 4). */
function packLstm({ emb, wx, wh, b }: LstmGenerate["parameters"], { V, E, H }: LstmGenerate["sizes"]) {
  const table = new Float32Array(V * 4 * H);
  const hidden = new Float32Array(4 * H * H);
  for (let unit = 0; unit < H; unit++) {
    for (let gate = 0; gate < 4; gate++) {
      const column = gate * H + unit;
      for (let token = 0; token < V; token++) {
        let sum = b.data[column];
        for (let e = 0; e < E; e++) sum += emb.data[token * E + e] * wx.data[e * 4 * H + column];
        table[(token * H + unit) * 4 + gate] = sum;
      }
      for (let k = 0; k < H; k++) hidden[(k * H + unit) * 4 + gate] = wh.data[k * 4 * H + column];
    }
  }
  return { table, hidden };
}

function work(workload: Workload): ((bench: Bench) => Work) | null {
  switch (workload.kind) {
    case "matmul":
      return (bench) => matmul(bench, workload);
    case "softmax":
      return (bench) => softmax(bench, workload);
    case "layernorm":
      return (bench) => layerNorm(bench, workload);
    case "attention":
      return workload.sizes.backward ? null : (bench) => attention(bench, workload);
    case "wkv":
      return (bench) => wkv(bench, workload);
    case "lstmGenerate":
      return (bench) => generate(bench, workload);
    default:
      return null;
  }
}

export const engine: Engine = {
  unsupported: (workload) => (work(workload) ? null : "no kernel was written by hand"),
  async prepare(workload) {
    const make = work(workload);
    const device = await (await navigator.gpu.requestAdapter())?.requestDevice();
    if (!make || !device) throw new Error("raw-wgsl: there is no WebGPU device");
    return make(new Bench(device));
  },
};
