const VENDORS: Readonly<Record<string, string>> = {
  amd: "AMD",
  apple: "Apple",
  arm: "Arm",
  "img-tec": "Imagination",
  intel: "Intel",
  nvidia: "NVIDIA",
  qualcomm: "Qualcomm",
};

const SOFTWARE = [
  ["SwiftShader", /swiftshader/i],
  ["llvmpipe", /llvmpipe|lavapipe/i],
  ["Software renderer", /basic render|software/i],
] as const;

/** What to call a device; browsers tell more or less of it. */
export function deviceName(info: GPUAdapterInfo | undefined): string {
  const { vendor = "", architecture = "", device = "", description = "" } = info ?? {};
  const all = `${vendor} ${architecture} ${device} ${description}`;
  const software = SOFTWARE.find(([, pattern]) => pattern.test(all));
  if (software) return software[0];
  if (description) return description;
  const name = `${VENDORS[vendor.toLowerCase()] ?? vendor} ${architecture.replaceAll("-", " ")}`.trim();
  return name || "GPU";
}
