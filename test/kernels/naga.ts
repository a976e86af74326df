/** Run by Deno: takes compile jobs as JSON on standard input and prints the results. */
import { readFileSync } from "node:fs";
import { compileAll } from "./compile.ts";

const jobs = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await compileAll(navigator.gpu, jobs)));
