/** Run by Deno once it is bundled: checks every kernel beside float64 and prints the results as JSON. */
import { selfCheck } from "../../src/check/selfCheck.ts";
import { openDevice } from "../../src/gpu/open.ts";

const device = await openDevice({ gpu: navigator.gpu });
console.log(JSON.stringify(await selfCheck(device)));
device.destroy();
