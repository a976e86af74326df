/** Writes the figures of the reports that the README links to into the README: `npm run figures`. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withFigures } from "../bench/peers/figures.ts";

const root = join(import.meta.dirname, "..");
const file = join(root, "README.md");
const report = (name: string) => JSON.parse(readFileSync(join(root, "bench/results", `${name}.json`), "utf8"));
writeFileSync(file, withFigures(readFileSync(file, "utf8"), report));
