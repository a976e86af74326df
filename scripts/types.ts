/** Writes the declaration files of all kernels, which tsc needs; fails when a kernel breaks a rule. */
import { kernelNames, writeTypes } from "../kernels/plugin.ts";

const places = [{}, { folder: "bench/roofline" }, { folder: "examples/operation/kernels" }];
const errors = places.flatMap((place) => writeTypes(place));
for (const { message } of errors) console.error(message);
console.log(`types of ${places.flatMap((place) => kernelNames(place)).length - errors.length} kernels`);
if (errors.length) process.exitCode = 1;
