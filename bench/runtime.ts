/** Where a job runs: headless Chrome over a vite build, or this process on Dawn. */
import { join } from "node:path";
import { build, type PreviewServer, preview } from "vite";
import { kernels } from "../kernels/plugin.ts";
import { launchChrome } from "../scripts/chrome.ts";
import { getGpu } from "../test/support/device.ts";
import type { Job, Outcome, Progress } from "./job.ts";
import { runJob } from "./session.ts";

export interface Runtime {
  /** For the report. */
  readonly name: string;
  run(job: Job, progress: Progress): Promise<Outcome>;
  close(): Promise<void>;
}

export async function openNode(): Promise<Runtime> {
  const gpu = await getGpu();
  return {
    name: `Node ${process.versions.node} on Dawn`,
    run: (job, progress) => runJob(gpu, job, progress),
    close: async () => {},
  };
}

const outDir = join(import.meta.dirname, "..", "dist", "bench");

/** Isolated pages get a clock that steps by 5 us; others by 100 us, which is long beside the JavaScript of a replay. */
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Built like a user's page: stripped kernels, minified code. */
async function serveBuild(): Promise<PreviewServer> {
  const shared = { root: import.meta.dirname, configFile: false, logLevel: "error", publicDir: false } as const;
  await build({
    ...shared,
    base: "./",
    plugins: [kernels()],
    build: { outDir, emptyOutDir: true, target: "es2022", rolldownOptions: { input: join(shared.root, "page.html") } },
  });
  return preview({ ...shared, build: { outDir }, preview: { port: 0, open: false, headers: ISOLATION } });
}

export async function openChrome({ headed = false } = {}): Promise<Runtime> {
  const server = await serveBuild();
  const browser = await launchChrome({ headless: !headed, protocolTimeout: 0 });
  const close = async () => {
    await browser.close();
    await server.close();
  };
  try {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    let say: Progress = () => {};
    await page.exposeFunction("benchProgress", (text: string) => say(text));
    await page.goto(new URL("page.html", server.resolvedUrls?.local[0]).href);
    await page.waitForFunction("window.runBench !== undefined", { timeout: 30_000 }).catch(() => {
      throw new Error(`the bench page did not start: ${complaints.join("; ") || "no error was reported"}`);
    });
    return {
      name: await browser.version(),
      async run(job, progress) {
        say = progress;
        const outcome = await page.evaluate((what) => (window.runBench as NonNullable<Window["runBench"]>)(what), job);
        if ("failure" in outcome) throw new Error(outcome.failure);
        return outcome;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
