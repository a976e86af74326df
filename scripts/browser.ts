/** Makes sure that tests find a browser and a Vulkan loader, installing them where they are missing. */
import { ensureChrome, findVulkan } from "./chrome.ts";

const chrome = await ensureChrome();
const vulkan = findVulkan(chrome);
console.log(`browser: ${chrome}`);
if ("missing" in vulkan) console.warn(`Dawn and wgpu tests will be skipped: this machine has no ${vulkan.missing}`);
