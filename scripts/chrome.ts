/**
 * Finds Chrome or Chromium and a Vulkan driver, installs them where there are none, and launches the
 * browser with WebGPU switched on. Tests, benchmarks and end-to-end runs all start here.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type { Browser, LaunchOptions } from "puppeteer";

/** Set to run on the machine's own GPU in place of SwiftShader, which emulates one on the CPU. */
const hardware = process.env.OSTINATO_GPU === "hardware";

/** Switches under which headless Chrome offers WebGPU on any machine. */
const CHROME_FLAGS: readonly string[] = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  ...(hardware ? ["--enable-features=Vulkan"] : ["--use-webgpu-adapter=swiftshader"]),
  "--disable-background-networking",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"];

/** More switches for pages that draw to a WebGPU canvas: without them an emulated GPU loses its device at the first frame. */
export const CANVAS_FLAGS: readonly string[] = hardware
  ? []
  : ["--enable-features=Vulkan", "--use-vulkan=swiftshader", "--use-angle=vulkan"];

/** Where installers put the browser when it is not on the PATH. */
function usualPlaces(): string[] {
  const { env } = process;
  if (process.platform === "darwin")
    return ["/Applications", join(homedir(), "Applications")].flatMap((folder) =>
      ["Google Chrome", "Chromium", "Microsoft Edge"].map((app) => `${folder}/${app}.app/Contents/MacOS/${app}`),
    );
  if (process.platform === "win32")
    return [env.PROGRAMFILES, env["PROGRAMFILES(X86)"], env.LOCALAPPDATA].flatMap((folder) =>
      ["Google/Chrome", "Chromium", "Microsoft/Edge"].map((app) =>
        join(folder ?? "C:/", app, "Application", app.endsWith("Edge") ? "msedge.exe" : "chrome.exe"),
      ),
    );
  const folders = ["/usr/bin", "/usr/local/bin", "/snap/bin", ...(env.PATH ?? "").split(delimiter)];
  return folders.flatMap((folder) => PROGRAMS.map((program) => join(folder, program)));
}

/** Path of the browser: CHROME_PATH, the usual places, then puppeteer's cache; null where there is none. */
export async function findChrome(): Promise<string | null> {
  const named = process.env.CHROME_PATH;
  if (named) {
    if (!existsSync(named)) throw new Error(`CHROME_PATH is ${named}, where there is no file; correct it or unset it`);
    return named;
  }
  const found = usualPlaces().find((place) => existsSync(place));
  if (found) return found;
  return findDownloaded();
}

/** Where puppeteer's own download lies, or null. */
async function findDownloaded(): Promise<string | null> {
  try {
    const { default: puppeteer } = await import("puppeteer");
    const path = await puppeteer.executablePath();
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

/** The driver description of SwiftShader that lies beside a browser, or null. */
function findSwiftShader(chrome: string | null): string | null {
  const folders = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"];
  if (chrome) folders.unshift(dirname(realpathSync(chrome)));
  return folders.map((folder) => join(folder, "vk_swiftshader_icd.json")).find((file) => existsSync(file)) ?? null;
}

/** What Dawn and wgpu need outside the browser: environment variables, or the reason why they cannot run. */
export function findVulkan(chrome: string | null): { env: Record<string, string> } | { missing: string } {
  if (process.platform !== "linux" || hardware || process.env.VK_ICD_FILENAMES) return { env: {} };
  if (!hasLibrary("libvulkan.so.1")) return { missing: "libvulkan.so.1 (Debian package libvulkan1)" };
  const driver = findSwiftShader(chrome);
  // The loader complains on every start where no session has set the second.
  const env = { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
  return driver
    ? { env: { ...env, VK_ICD_FILENAMES: driver } }
    : { missing: "vk_swiftshader_icd.json, which comes with Chromium" };
}

/** The driver description of llvmpipe, another emulation that wgpu accepts and Dawn does not, or null. */
export function findLlvmpipe(): string | null {
  const folder = "/usr/share/vulkan/icd.d";
  const name = existsSync(folder) && readdirSync(folder).find((file) => /^lvp_icd\..*json$/.test(file));
  return name ? join(folder, name) : null;
}

function hasLibrary(name: string): boolean {
  for (const program of ["ldconfig", "/sbin/ldconfig"]) {
    try {
      return execFileSync(program, ["-p"], { encoding: "utf8" }).includes(name);
    } catch {}
  }
  return false;
}

const isDebianRoot = () =>
  process.getuid?.() === 0 && existsSync("/usr/bin/apt-get") && /debian/i.test(readFileSync("/etc/os-release", "utf8"));

function aptInstall(...packages: string[]): void {
  console.log(`installing ${packages.join(" and ")} with apt-get`);
  const options = { stdio: ["ignore", "ignore", "inherit"] as ("ignore" | "inherit")[] };
  execFileSync("apt-get", ["-qq", "update"], options);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...packages], { ...options, env });
}

/** Puppeteer's own download, for machines where apt-get is not ours to use. */
function download(): void {
  const program = join(import.meta.dirname, "..", "node_modules", ".bin", "puppeteer");
  const shell = process.platform === "win32";
  execFileSync(shell ? `"${program}"` : program, ["browsers", "install", "chrome"], { stdio: "inherit", shell });
}

/** Path of a browser, installed first where there is none; on Debian as root also the Vulkan loader and llvmpipe. */
export async function ensureChrome(): Promise<string> {
  const chrome = await findChrome();
  if (isDebianRoot()) {
    const packages = [
      ...(chrome ? [] : ["chromium"]),
      ...(hasLibrary("libvulkan.so.1") ? [] : ["libvulkan1"]),
      ...(findLlvmpipe() ? [] : ["mesa-vulkan-drivers"]),
    ];
    if (packages.length) aptInstall(...packages);
  } else if (!chrome) download();
  const now = chrome ?? (await findChrome());
  if (!now) throw new Error("no Chrome or Chromium found or installed; set CHROME_PATH to one");
  return now;
}

/** Starts headless Chrome with WebGPU. */
export async function launchChrome(options: LaunchOptions = {}): Promise<Browser> {
  const executablePath = await findChrome();
  if (!executablePath) throw new Error("no Chrome or Chromium found; run `npm run browser`, or set CHROME_PATH");
  const { default: puppeteer } = await import("puppeteer");
  return puppeteer.launch({ executablePath, ...options, args: [...CHROME_FLAGS, ...(options.args ?? [])] });
}
