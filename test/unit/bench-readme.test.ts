/** What the READMEs promise: figures are those of the files that they name, commands and links exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { withFigures } from "../../bench/peers/figures.ts";
import type { Report } from "../../bench/peers/record.ts";
import { SCENARIOS } from "../../bench/scenarios/all.ts";

const read = (path: string) => readFileSync(path, "utf8");
const json = (path: string) => JSON.parse(read(path));
const experiments = SCENARIOS.filter(({ name }) => existsSync(`bench/results/${name}.md`));
const report = (name: string): Report => json(`bench/results/${name}.json`);

test("the README's figures are those of the reports that it links to: `npm run figures` writes them", () => {
  expect(read("README.md")).toBe(withFigures(read("README.md"), report, experiments));
});

test("figures follow the reports", () => {
  const slower = (name: string): Report => {
    const { cells, ...rest } = report(name);
    const changed = cells.map((cell) =>
      cell.workload === "lstm_train" && cell.peer === "jax-webgpu" && "medianMs" in cell.measurement
        ? { ...cell, measurement: { ...cell.measurement, medianMs: 1e6, first: { ms: 123_400, pipelines: 1 } } }
        : cell,
    );
    return { ...rest, cells: changed };
  };
  const text = withFigures(read("README.md"), slower, [{ name: "recall", title: "Recalling" }]);
  expect(text).toMatch(/^\| LSTM training step .* \| \d+,000 \| \d+ \| no gradients \|$/m);
  expect(text).toContain("jax-js took 123.4 s");
  expect(text).toContain("\n\n- [Recalling](bench/results/recall.md)\n\n");
  expect(() => withFigures("no place", report, [])).toThrow("the README has no <!-- figures");
});

test("sizes are the budgets that the package is held to", () => {
  const budgets = json(".size-limit.json") as { name: string; limit: string }[];
  const limit = (name: string) => budgets.find((budget) => budget.name.startsWith(name))?.limit;
  expect(read("README.md")).toContain(`stays within ${limit("core")} compressed`);
  expect(read("docs/workers.md")).toContain(`loads ${limit("a page whose model lives in a worker")}, and no engine`);
});

const PAGES = [
  ...["README.md", "kernels/README.md", "bench/README.md", "bench/peers/README.md", "examples/README.md"],
  ...readdirSync("docs")
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`),
];

test.each(PAGES)("%s: its commands and links exist", (page) => {
  const text = read(page);
  // `npm run check` of the peers' folder is that of a package of its own.
  const own = join(dirname(page), "package.json");
  const scripts = { ...json("package.json").scripts, ...(existsSync(own) && json(own).scripts) };
  for (const [, name = ""] of text.matchAll(/npm run (?:-s )?([\w:-]+)/g))
    expect(scripts, `npm run ${name}`).toHaveProperty([name]);
  for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
    expect(existsSync(join(dirname(page), target)), target).toBe(true);
});
