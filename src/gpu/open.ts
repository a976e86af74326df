import { Device } from "./device.ts";
import { GpuUnavailableError, ValueError } from "./errors.ts";

/** Which device is opened, and what is asked of it. */
export interface OpenOptions {
  /** A device of your own; the engine then never destroys it. Its limits and features are used as they are. */
  readonly device?: GPUDevice;
  /** Entry point of WebGPU; default `navigator.gpu`. On Node: `create([])` of the package `webgpu`. */
  readonly gpu?: GPU;
  readonly powerPreference?: GPUPowerPreference;
  /** Optional features not to ask for, for instance to test a fallback. */
  readonly without?: readonly GPUFeatureName[];
  /**
   * Milliseconds that one submit should take at most, as the engine estimates them; longer work is sent in
   * several, between which the GPU can draw a page. Default 250; Infinity: never cut.
   */
  readonly maxSubmitMs?: number;
}

/** Used where the adapter has them. */
const OPTIONAL_FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "subgroups", "shader-f16"];

/** Asked for at the adapter's value: limits are given only if requested. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxStorageBuffersPerShaderStage",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/**
 * Opens a device for the engine: yours if you pass one, else the adapter's own with its full limits.
 * @throws ValueError for a maxSubmitMs that is no positive number
 * @throws GpuUnavailableError whose `reason` says what is missing (insecure page, no WebGPU, no adapter, refused device)
 */
export async function openDevice(options: OpenOptions = {}): Promise<Device> {
  const { maxSubmitMs } = options;
  if (maxSubmitMs !== undefined && !(maxSubmitMs > 0))
    throw new ValueError(
      `openDevice: maxSubmitMs is ${maxSubmitMs}; use a number of milliseconds above 0, or Infinity`,
    );
  if (options.device) {
    const info = options.device.adapterInfo;
    return new Device(options.device, info, isSoftware(info), false, maxSubmitMs);
  }
  const gpu = options.gpu ?? globalThis.navigator?.gpu;
  if (!gpu) throw unavailable();
  const adapter = await gpu.requestAdapter(options.powerPreference ? { powerPreference: options.powerPreference } : {});
  if (!adapter) {
    throw new GpuUnavailableError(
      "no-adapter",
      "openDevice: this browser has WebGPU but found no usable GPU; turn on hardware acceleration, update the graphics driver, or try another browser",
    );
  }
  const without = new Set<string>(options.without ?? []);
  const requiredFeatures = OPTIONAL_FEATURES.filter((name) => adapter.features.has(name) && !without.has(name));
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) {
    const value = adapter.limits[name];
    if (value !== undefined) requiredLimits[name] = value;
  }
  try {
    const device = await adapter.requestDevice({ label: "ostinato", requiredFeatures, requiredLimits });
    const info = device.adapterInfo ?? adapter.info;
    return new Device(device, info, isSoftware(info), true, maxSubmitMs);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GpuUnavailableError(
      "no-device",
      `openDevice: the GPU refused a device (${reason}); close other pages that use it and try again`,
    );
  }
}

function unavailable(): GpuUnavailableError {
  if (globalThis.isSecureContext === false) {
    return new GpuUnavailableError(
      "insecure-context",
      "openDevice: WebGPU is only offered on secure pages; open this page over https or on localhost",
    );
  }
  return new GpuUnavailableError(
    "no-webgpu",
    "openDevice: there is no WebGPU here; use Chrome or Edge 113, Safari 26 or Firefox 141 or later, or pass { gpu } from the package webgpu on Node",
  );
}

/** Names that CPU emulations give themselves; adapterInfo is absent in some browsers. */
function isSoftware(info: GPUAdapterInfo | undefined): boolean {
  if (!info) return false;
  if (info.isFallbackAdapter) return true;
  return /swiftshader|llvmpipe|lavapipe|basic render|software/i.test(
    `${info.vendor} ${info.architecture} ${info.device} ${info.description}`,
  );
}
