/** Writes the declaration files of all kernels, which tsc needs; fails when a kernel breaks a rule. */
import { kernelNames, writeTypes } from "../kernels/plugin.ts";

const errors = writeTypes();
for (const { message } of errors) console.error(message);
console.log(`types of ${kernelNames().length - errors.length} kernels`);
if (errors.length) process.exitCode = 1;
