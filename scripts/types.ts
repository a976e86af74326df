/** Writes the declaration files of all kernels, which tsc needs; fails when a kernel breaks a rule. */
import { join } from "node:path";
import { kernelNames, writeTypes } from "../kernels/plugin.ts";

const root = join(import.meta.dirname, "..");
const errors = writeTypes(root);
for (const { message } of errors) console.error(message);
console.log(`types of ${kernelNames(root).length - errors.length} kernels`);
if (errors.length) process.exitCode = 1;
