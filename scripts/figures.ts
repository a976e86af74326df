/** Writes into the README what bench/results holds: `npm run figures`. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withFigures } from "../bench/peers/figures.ts";
import { SCENARIOS } from "../bench/scenarios/all.ts";

const root = join(import.meta.dirname, "..");
const file = join(root, "README.md");
const result = (name: string) => join(root, "bench/results", name);
const report = (name: string) => JSON.parse(readFileSync(result(`${name}.json`), "utf8"));
const experiments = SCENARIOS.filter(({ name }) => existsSync(result(`${name}.md`)));
writeFileSync(file, withFigures(readFileSync(file, "utf8"), report, experiments));
