import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { tfjsEngine } from "./tfjs.ts";

setWasmPaths("/packages/@tensorflow/tfjs-backend-wasm/dist/");
setThreadsCount(navigator.hardwareConcurrency);

// Gather has no gradient on this back end, for want of UnsortedSegmentSum.
export const engine = tfjsEngine({ backend: "wasm", sync: async () => {}, oneHotEmbedding: true });
