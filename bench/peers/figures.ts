/** The README's figures, which are those of the reports that it links to. */
import { type Cell, isMeasured, type Report, type Timing } from "./record.ts";
import type { WorkloadName } from "./workloads.ts";

/** What the README calls each workload, in its order. */
const LABELS: Readonly<Record<WorkloadName, string>> = {
  lstm_train: "LSTM training step (vocabulary 64, hidden 128, batch 8, 32 steps, Adam)",
  gpt_train: "Transformer training step (2 layers of 64 channels, batch 8, 64 steps, Adam)",
  lstm_gen_device: "LSTM generation, 64 tokens on the device",
  lstm_gen_readback: "LSTM generation, a read-back a token",
  wkv_fwdbwd: "RWKV-4's sum with gradient, batch 4, 128 steps, 128 channels",
  wkv_fwd: "RWKV-4's sum",
  attn_fwdbwd_512: "causal attention with gradient, 512 tokens, 4 heads of 64",
  attn_fwd_512: "causal attention, 512 tokens",
  attn_fwd_2048: "causal attention, 2048 tokens",
  ce_fwdbwd: "cross-entropy with gradient, 512 x 4096",
  softmax1024: "softmax, 1024 x 1024",
  layernorm1024: "layer norm, 1024 x 1024",
  matmul512: "matrix product, 512",
  vecmat1024: "vector times matrix, 1024",
};

const PEERS = {
  "jax-webgpu": "jax-js",
  "tfjs-webgpu": "TensorFlow.js (WebGPU)",
  "ort-webgpu": "ONNX Runtime Web (WebGPU)",
} as const;

/** Comments around what is written here. */
const START = (what: string) => `<!-- ${what}: npm run figures -->`;
const END = (what: string) => `<!-- end of ${what} -->`;

/** Two digits. */
const shown = (ratio: number): string =>
  ratio < 100 ? ratio.toPrecision(2) : Number(ratio.toPrecision(2)).toLocaleString("en");
const seconds = ({ first }: Timing): string => `${(first.ms / 1000).toFixed(1)} s`;

/** Table and sentences of all cells; later reports do not repeat what earlier ones have. */
function figures(cells: readonly Cell[]): string {
  const measured = (workload: WorkloadName, peer: string) =>
    cells.find((cell) => cell.workload === workload && cell.peer === peer)?.measurement;
  const timing = (workload: WorkloadName, peer: string): Timing | null => {
    const found = measured(workload, peer);
    return found && isMeasured(found) ? found : null;
  };
  const ratio = (workload: WorkloadName, peer: string): string => {
    const found = measured(workload, peer);
    if (found && "skipped" in found) return found.skipped.match(/no \w+$/)?.[0] ?? "-";
    const own = timing(workload, "ostinato");
    const other = timing(workload, peer);
    return own?.right && other?.right ? shown(other.medianMs / own.medianMs) : "-";
  };
  const peers = Object.keys(PEERS);
  const rows = (Object.entries(LABELS) as [WorkloadName, string][])
    .filter(([workload]) => timing(workload, "ostinato"))
    .map(([workload, label]) => [label, ...peers.map((peer) => ratio(workload, peer))]);
  const table = [["workload", ...Object.values(PEERS)], ["", "", "", ""].map(() => "---"), ...rows].map(
    (row) => `| ${row.join(" | ")} |`,
  );
  const [own, jax, tfjs] = ["ostinato", "jax-webgpu", "tfjs-webgpu"].map((peer) => timing("lstm_train", peer));
  if (!own || !jax || !tfjs) return table.join("\n");
  const launches = ({ counts: { dispatches, submits } }: Timing) =>
    `${dispatches.toLocaleString("en")} launches in ${submits.toLocaleString("en")} ${submits === 1 ? "submit" : "submits"}`;
  return [
    ...table,
    "",
    `The first LSTM training step, pipelines included, took ${seconds(own)} where jax-js took ${seconds(jax)} and`,
    `TensorFlow.js ${seconds(tfjs)}; each step is ${launches(own)} here, ${launches(jax)} in jax-js,`,
    `${launches(tfjs)} in TensorFlow.js.`,
  ].join("\n");
}

/** An experiment of the bench that has its table and picture in bench/results. */
export interface Experiment {
  readonly name: string;
  readonly title: string;
}

function replaced(readme: string, what: string, text: (before: string) => string): string {
  const [before, rest] = readme.split(START(what));
  const after = rest?.split(END(what))[1];
  if (before === undefined || after === undefined)
    throw new Error(`the README has no ${START(what)} with an ${END(what)}`);
  return `${before}${START(what)}\n\n${text(before)}\n\n${END(what)}${after}`;
}

/**
 * The README with the figures of the reports that it links to, and with links to all experiments.
 * @param read gives a report by its name in bench/results
 * @throws Error if the README has no place for them
 */
export function withFigures(
  readme: string,
  read: (name: string) => Report,
  experiments: readonly Experiment[],
): string {
  const measured = replaced(readme, "figures", (before) => {
    const names = [...new Set(before.match(/(?<=\(bench\/results\/)peers[\w-]*(?=\.md\))/g))];
    return figures(names.flatMap((name) => read(name).cells));
  });
  const links = experiments.map(({ name, title }) => `- [${title}](bench/results/${name}.md)`);
  return replaced(measured, "experiments", () => links.join("\n"));
}
