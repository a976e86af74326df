/** What the README promises: its figures are those of the files that it names, its commands and links exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Cell, Report } from "../../bench/peers/record.ts";
import { isTiming, type Timing } from "../../bench/peers/record.ts";

const read = (path: string) => readFileSync(path, "utf8");
const readme = read("README.md");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Rows of the README's table by what they measure. */
const WORKLOADS: readonly (readonly [label: RegExp, workload: string])[] = [
  [/^LSTM training step/, "lstm_train"],
  [/^LSTM generation, 64 tokens on the device/, "lstm_gen_device"],
  [/^LSTM generation, a read-back a token/, "lstm_gen_readback"],
  [/^cross-entropy with gradient/, "ce_fwdbwd"],
  [/^softmax/, "softmax1024"],
  [/^layer norm/, "layernorm1024"],
  [/^matrix product/, "matmul512"],
  [/^vector times matrix/, "vecmat1024"],
  [/^Transformer training step/, "gpt_train"],
  [/^attention, 512/, "attn_fwd_512"],
  [/^attention, 2048/, "attn_fwd_2048"],
  [/^attention with gradient, 512/, "attn_fwdbwd_512"],
  [/^RWKV-4's sum, /, "wkv_fwd"],
  [/^RWKV-4's sum with gradient/, "wkv_fwdbwd"],
];
const workloadOf = (label: string) => WORKLOADS.find(([pattern]) => pattern.test(label))?.[1];
const PEERS = ["jax-webgpu", "tfjs-webgpu", "ort-webgpu"];

describe("figures", () => {
  /** Of all reports that the README links to. */
  const cells = [...new Set(readme.match(/(?<=\(bench\/results\/)peers[\w-]*(?=\.md\))/g))].flatMap<Cell>(
    (name) => (JSON.parse(read(`bench/results/${name}.json`)) as Report).cells,
  );
  const timing = (workload: string, peer: string): Timing | null => {
    const measured = cells.find((cell) => cell.workload === workload && cell.peer === peer);
    return measured && isTiming(measured.measurement) ? measured.measurement : null;
  };
  /** Two digits, as the table has them. */
  const shown = (ratio: number) => (ratio < 100 ? ratio.toPrecision(2) : String(Number(ratio.toPrecision(2))));

  const rows = readme
    .slice(readme.indexOf("| workload |"))
    .split("\n\n")[0]
    ?.split("\n")
    .slice(2)
    .map((row) => row.split("|").map((cell) => cell.trim())) as string[][];

  test("nothing that was measured is left out", () => {
    expect(rows.map(([, label = ""]) => workloadOf(label)).sort()).toEqual(
      [...new Set(cells.map(({ workload }) => workload))].sort(),
    );
  });

  test.each(rows.map(([, label = "", ...ratios]) => [label, ratios] as const))("%s", (label, ratios) => {
    const workload = workloadOf(label) as string;
    const own = timing(workload, "ostinato") as Timing;
    const found = PEERS.map((peer) => timing(workload, peer));
    found.forEach((peer, i) => {
      if (peer) expect(ratios[i], PEERS[i]).toBe(shown(peer.medianMs / own.medianMs));
      else expect(ratios[i], PEERS[i]).toMatch(/^no /);
    });
  });

  test("the first step, launches and submits", () => {
    const steps = ["ostinato", "jax-webgpu", "tfjs-webgpu"].map((peer) => timing("lstm_train", peer) as Timing);
    const seconds = steps.map(({ first }) => (first.ms / 1000).toFixed(1));
    const [own, jax, tfjs] = steps.map(({ counts: { dispatches, submits } }) =>
      [dispatches, submits].map((count) => count.toLocaleString("en")),
    );
    const prose = readme.replaceAll("\n", " ");
    expect(prose).toContain(`took ${seconds[0]} s where jax-js took ${seconds[1]} s and TensorFlow.js ${seconds[2]} s`);
    expect(prose).toContain(`is ${own?.[0]} launches and ${own?.[1]} submit here, ${jax?.join(" and ")} in jax-js`);
    expect(prose).toContain(`${tfjs?.join(" and ")} in TensorFlow.js`);
  });
});

const PAGES = [
  ...["README.md", "kernels/README.md", "bench/README.md", "bench/peers/README.md", "examples/README.md"],
  ...readdirSync("docs")
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`),
];

test.each(PAGES)("%s: its commands and links exist", (page) => {
  const text = read(page);
  const commands = [...text.matchAll(/npm run (?:-s )?([\w:-]+)/g)].map(([, name]) => name as string);
  // `npm run check` of the peers' folder is that of a package of its own.
  const own = existsSync(join(dirname(page), "package.json"))
    ? (JSON.parse(read(join(dirname(page), "package.json"))) as { scripts?: Record<string, string> }).scripts
    : {};
  for (const name of commands) expect({ ...scripts, ...own }, `npm run ${name}`).toHaveProperty([name]);
  for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
    expect(existsSync(join(dirname(page), target)), target).toBe(true);
});
