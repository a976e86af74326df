/** Run by Deno once it is bundled: checks every kernel beside float64 and prints the results as JSON. */
import { selfCheck } from "../../src/check/selfCheck.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";

const device = await openDevice({ gpu: navigator.gpu });
// FORMS=hardware: the forms of kernels that a GPU gets, which an emulation does not choose by itself.
const checked = process.env.FORMS === "hardware" ? new Device(device.gpu, device.info, false, false) : device;
console.log(JSON.stringify({ adapter: device.info.description, results: await selfCheck(checked) }));
device.destroy();
