/** The command line as users start it: a process of its own, on Dawn. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { installPackage, PACK_TIMEOUT, type Project, ROOT } from "../support/package.ts";

const vulkan = findVulkan(await findChrome());
/** Milliseconds for a test of several processes, each of which compiles its kernels. */
const PATIENCE = 120_000;
const TINY = ["--width", "16", "--batch-size", "2", "--seq-length", "16", "--lr", "0.01", "--seed", "1"];

let project: Project;
let cli: string;
beforeAll(async () => {
  project = await installPackage();
  cli = join(project.folder, "node_modules/ostinato/dist/tools/cli.js");
  writeFileSync(join(project.folder, "corpus.txt"), "the rain in spain stays mainly in the plain. ".repeat(40));
}, PACK_TIMEOUT);

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param watch sees the process as it starts, and whenever it has printed */
function ostinato(
  args: readonly string[],
  env = {},
  watch?: (child: ChildProcess, err: string) => void,
): Promise<Ended> {
  const variables = { ...process.env, ...("env" in vulkan ? vulkan.env : {}), ...env };
  const child = spawn(process.execPath, [cli, ...args], { cwd: project.folder, env: variables });
  let [out, err] = ["", ""];
  watch?.(child, err);
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    err += data;
    watch?.(child, err);
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

const stepOf = (file: string) => {
  const bytes = new Uint8Array(readFileSync(join(project.folder, file)));
  return readCheckpoint(bytes).training?.state.step;
};

test("what is asked wrongly is refused in a sentence, without a GPU", async () => {
  writeFileSync(join(project.folder, "there.safetensors"), "something");
  const [unknown, many, nowhere, width, bench, none, missing, folder, there] = await Promise.all(
    [
      ["train", "corpus.txt", "--model", "perceptron"],
      ["train", "corpus.txt", "--steps", "many"],
      ["generate", "nowhere.safetensors"],
      ["train", "corpus.txt", "--resume", "--width", "8"],
      ["bench", "--filter", "nothing"],
      ["train", "corpus.txt", "--width", "0"],
      ["train", "nowhere.txt"],
      ["train", "corpus.txt", "--out", "nowhere/model.safetensors"],
      ["train", "corpus.txt", "--out", "there.safetensors"],
    ].map((args) => ostinato(args)),
  );
  expect(none).toMatchObject({ code: 1, err: expect.stringContaining("Use a whole number of 1 or more") });
  expect(missing).toMatchObject({
    code: 1,
    err: "ostinato: cannot read nowhere.txt: there is no such file; give another path\n",
  });
  expect(folder).toMatchObject({ code: 1, err: expect.stringContaining("there is no folder nowhere; make it") });
  expect(there).toMatchObject({ code: 1, err: expect.stringContaining("there already; go on with --resume") });
  expect(readFileSync(join(project.folder, "there.safetensors"), "utf8")).toBe("something");
  expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining("Allowed choices are rnn, gru, lstm") });
  expect(many).toMatchObject({ code: 1, err: expect.stringContaining("Use a whole number") });
  expect(width).toMatchObject({ code: 1, err: expect.stringContaining("width: a resumed run") });
  expect(bench).toMatchObject({
    code: 1,
    err: "ostinato: --filter nothing: no line's name contains that; --list names them all\n",
  });
  expect(nowhere).toMatchObject({
    code: 1,
    err: "ostinato: cannot read nowhere.safetensors: there is no such file; give another path\n",
  });
});

test("a missing peer and a missing GPU are told, and what to do", async () => {
  const peer = join(project.folder, "node_modules/webgpu");
  renameSync(peer, `${peer}-away`);
  try {
    expect((await ostinato(["info"])).err).toBe(
      "ostinato: Node has no WebGPU of its own; install Dawn beside ostinato with `npm install webgpu`\n",
    );
  } finally {
    renameSync(`${peer}-away`, peer);
  }
  if (process.platform !== "linux") return;
  const none = await ostinato(["info"], { VK_ICD_FILENAMES: "/nowhere.json" });
  expect(none.code).toBe(1);
  expect(none.err).toContain("ostinato: no GPU was found");
});

describe.skipIf("missing" in vulkan)("on Dawn", { timeout: PATIENCE }, () => {
  test("info shows the adapter and checks kernels", async () => {
    const [{ code, out }, json] = await Promise.all([
      ostinato(["info", "--only", "lstm"]),
      ostinato(["info", "--json", "--only", "RNN"]),
    ]);
    expect(code).toBe(0);
    for (const part of ["vendor", "maxBufferSize", "features", "| LSTM, one step"]) expect(out).toContain(part);
    expect(out).not.toContain("WRONG");
    const { checks, adapter } = JSON.parse(json.out);
    expect(checks.map(({ name, passed }: { name: string; passed: boolean }) => [name, passed])).toContainEqual([
      "RNN, one step",
      true,
    ]);
    expect(adapter.software).toBeTypeOf("boolean");
  });

  test("bench checks and times a line of the repository's suite", async () => {
    const lines = (await ostinato(["bench", "--list"])).out.trim().split("\n");
    expect(lines.length).toBeGreaterThan(20);
    const line = lines.find((name) => name.startsWith("softmax/")) as string;
    const { code, out } = await ostinato([
      "bench",
      "--quick",
      "--budget",
      "1",
      "--filter",
      line,
      "--json",
      "bench.json",
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/^adapter \S.*^line +ms .*/ms);
    expect(out).toMatch(new RegExp(`^${line} +[\\d.]+ `, "m"));
    const { results } = JSON.parse(readFileSync(join(project.folder, "bench.json"), "utf8"));
    expect(results).toMatchObject([{ name: line, median: expect.any(Number) }]);
  });

  test("train saves, is resumed, and generate streams its text", async () => {
    const trained = await ostinato(["train", "corpus.txt", "--out", "a.safetensors", "--steps", "40", ...TINY]);
    expect(trained).toMatchObject({ code: 0, out: expect.stringMatching(/lstm, [\d,]+ parameters, 1,800 tokens/) });
    expect(trained.out).toMatch(/held-out loss \d\.\d+ nats/);
    expect(trained.err).toContain("40/40");
    expect(stepOf("a.safetensors")).toBe(40);
    const resumed = await ostinato(["train", "corpus.txt", "--out", "a.safetensors", "--steps", "60", "--resume"]);
    expect(resumed.out).toContain("step 40 of 60");
    expect(stepOf("a.safetensors")).toBe(60);
    const again = await ostinato(["train", "corpus.txt", "--out", "a.safetensors", "--steps", "50", "--resume"]);
    expect(again).toMatchObject({
      code: 1,
      err: "ostinato: a.safetensors is at step 60 of 50 already; to go on, give --steps above 60\n",
    });
    const options = ["--prompt", "the rain", "--temperature", "0", "--max-tokens", "20"];
    const written = await ostinato(["generate", "a.safetensors", ...options]);
    expect(written).toMatchObject({ code: 0, err: "", out: expect.stringMatching(/^the rain.{20}\n$/) });
    const [stopped, halved, wrong] = await Promise.all([
      ostinato(["generate", "a.safetensors", ...options, "--stop", written.out.slice(10, 13)]),
      ostinato(["generate", "a.safetensors", ...options, "--weights", "f16"]),
      ostinato(["generate", "a.safetensors", "--prompt", "the rain", "--temperature", "-1"]),
    ]);
    expect(wrong).toEqual({
      ...{ code: 1, out: "" },
      err: "ostinato: sample: temperature is -1; it must be a number of 0 or more\n",
    });
    expect(halved).toMatchObject({ code: 0, out: expect.stringMatching(/^the rain.{20}\n$/) });
    expect(stopped.out).toBe(`${written.out.slice(0, 10)}\n`);
  });

  test("generate tells what it cannot open, and what a foreign file lacks", async () => {
    // As other programs save a model: its weights, and nothing about text.
    const fixture = new Uint8Array(readFileSync(join(ROOT, "test/fixtures/cases/mamba/lm.safetensors")));
    const weights = [...parseSafetensors(fixture).tensors]
      .filter(([name]) => name.startsWith("param."))
      .map(([name, entry]) => [name.replace("param.", ""), { ...entry, data: toFloat32(entry, name) }] as const);
    writeFileSync(join(project.folder, "mamba.safetensors"), writeSafetensors(weights));
    // A download that takes forever, until the reader has enough.
    let loading: ChildProcess | undefined;
    const head = Buffer.from("\0\0\x10\0\0\0\0\0{ "); // of a safetensors header of 1 MiB
    const slow = createServer((_, response) => {
      response.write(head, () => loading?.kill("SIGINT"));
    });
    await new Promise<void>((resolve) => slow.listen(0, resolve));
    const { port } = slow.address() as AddressInfo;
    const interrupted = ostinato(["generate", `http://localhost:${port}/model.safetensors`], {}, (child) => {
      loading = child;
    });
    const [foreign, mute] = await Promise.all(
      ["corpus.txt", "mamba.safetensors"].map((file) => ostinato(["generate", file])),
    );
    expect(await interrupted).toEqual({ code: 130, out: "", err: "" });
    slow.closeAllConnections();
    slow.close();
    expect(foreign).toMatchObject({ code: 1, err: expect.stringContaining("it opens safetensors and the .pth") });
    expect(mute).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^ostinato: generate: the file holds a model \(mamba\) but no tokenizer; give/),
    });
  });

  test("a run in two parts ends with the bytes of one in one part", async () => {
    const command = ["train", "corpus.txt", "--steps", "24", ...TINY];
    const part = ["train", "corpus.txt", "--out", "parts.safetensors"];
    const [whole, first] = await Promise.all([
      ostinato([...command, "--out", "whole.safetensors"]),
      ostinato([...command, "--out", "parts.safetensors", "--until", "11"]),
    ]);
    expect([whole.code, first.code]).toEqual([0, 0]);
    expect(first.out).toContain("saved parts.safetensors at step 11; go on with --resume");
    expect(stepOf("parts.safetensors")).toBe(11);
    expect((await ostinato([...part, "--resume"])).code).toBe(0);
    const [one, two] = ["whole", "parts"].map((name) => readFileSync(join(project.folder, `${name}.safetensors`)));
    expect(two?.equals(one as Buffer)).toBe(true);
  });

  test("an interrupt saves, and the run goes on from there", async () => {
    const command = ["train", "corpus.txt", "--model", "gru", "--out", "b.safetensors", "--steps", "100000", ...TINY];
    let asked = false;
    const interrupted = await ostinato(command, {}, (child, err) => {
      if (asked || !/█.* loss \d|[1-9]\d*\/100000/.test(err)) return;
      asked = true;
      child.kill("SIGINT");
    });
    expect(interrupted.code).toBe(0);
    expect(interrupted.out).toMatch(/saved b\.safetensors at step \d+; go on with --resume/);
    const step = stepOf("b.safetensors") as number;
    expect(step).toBeGreaterThan(0);
    const resumed = await ostinato([
      "train",
      "corpus.txt",
      "--out",
      "b.safetensors",
      "--steps",
      `${step + 1}`,
      "--resume",
    ]);
    expect(resumed.code).toBe(0);
    expect(stepOf("b.safetensors")).toBe(step + 1);
  });
});
