import { afterEach, expect, test, vi } from "vitest";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";

afterEach(() => vi.unstubAllEnvs());

test("CHROME_PATH wins over the usual places", async () => {
  vi.stubEnv("CHROME_PATH", process.execPath);
  expect(await findChrome()).toBe(process.execPath);
});

test("a CHROME_PATH that leads nowhere is named", async () => {
  vi.stubEnv("CHROME_PATH", "/nowhere/chrome");
  await expect(findChrome()).rejects.toThrow("CHROME_PATH is /nowhere/chrome, where there is no file");
});

test("a Vulkan driver that the caller chose stays", () => {
  vi.stubEnv("VK_ICD_FILENAMES", "/my/driver.json");
  expect(findVulkan(null)).toEqual({ env: {} });
});
