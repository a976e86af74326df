/** Every example as its reader starts it, against the packed package: pages in Chrome, programs in Node and Deno. */
import { execFile, spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser } from "puppeteer";
import { build, type PreviewServer, preview } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CANVAS_FLAGS, findChrome, findVulkan, launchChrome } from "../../scripts/chrome.ts";
import { installPackage, PACK_TIMEOUT, type Project, ROOT } from "../support/package.ts";
import { type Visit, visitPage } from "../support/visit.ts";

/** Emulated GPUs share two cores with other tests, and the package is built first. */
const PATIENCE = 120_000;
/** As strict as a page can be that has scripts, styles and a worker of its own. */
const POLICY =
  "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src data:";
const PAGES = ["stream", "worker", "notes", "three", "operation"];

const vulkan = findVulkan(await findChrome());
const deno = join(ROOT, "node_modules/.bin/deno");

let project: Project;
let folder: string;
beforeAll(async () => {
  project = await installPackage();
  folder = join(project.folder, "examples");
  cpSync(join(ROOT, "examples"), folder, { recursive: true });
}, PACK_TIMEOUT);

/** `npm run example`, in the repository itself. */
const command = (...args: readonly string[]) =>
  spawn("npm", ["run", "-s", "example", ...args], {
    cwd: ROOT,
    env: { ...process.env, ...("env" in vulkan ? vulkan.env : {}), NO_COLOR: "1" },
    detached: true,
  });

describe("npm run example", () => {
  const ended = async (...args: readonly string[]) => {
    const child = command(...args);
    const said = { out: "", err: "" };
    child.stdout.on("data", (data) => {
      said.out += data;
    });
    child.stderr.on("data", (data) => {
      said.err += data;
    });
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { ...said, code };
  };

  test("lists the examples, and names them to who asks for another", async () => {
    const [list, unknown] = await Promise.all([ended(), ended("strean")]);
    expect([list.code, unknown.code]).toEqual([0, 1]);
    expect(unknown.err).toContain("There is no example strean; there are:");
    for (const name of [...PAGES, "node", "deno"])
      for (const said of [list.out, unknown.err]) expect(said).toMatch(new RegExp(`^ +${name} +\\S`, "m"));
  });

  test.skipIf("missing" in vulkan)("runs a program, whose arguments follow", { timeout: PATIENCE }, async () => {
    const { code, out } = await ended("node", "The sea");
    expect(out).toMatch(/^The sea.{200,}\n$/s);
    expect(code).toBe(0);
  });
});

test("the index names every example", () => {
  const index = readFileSync(join(folder, "README.md"), "utf8");
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(names.map(({ name }) => name).sort()).toEqual([...PAGES, "node", "deno"].sort());
  for (const { name } of names) expect(index).toContain(`npm run example ${name}`);
});

describe("in a page", () => {
  let server: PreviewServer;
  let browser: Browser;
  let address: string;
  beforeAll(async () => {
    const outDir = join(project.folder, "pages");
    const target = "es2022";
    await Promise.all(
      PAGES.map((page) => {
        const root = join(folder, page);
        const own = join(root, "vite.config.ts");
        return build({
          root,
          base: "./",
          configFile: existsSync(own) && own,
          logLevel: "error",
          build: { outDir: join(outDir, page), target, chunkSizeWarningLimit: 2000 },
          worker: { format: "es" },
        });
      }),
    );
    server = await preview({
      configFile: false,
      root: project.folder,
      build: { outDir },
      preview: { headers: { "Content-Security-Policy": POLICY } },
      logLevel: "error",
    });
    address = server.resolvedUrls?.local[0] ?? "";
    browser = await launchChrome({ args: [...CANVAS_FLAGS] });
  }, PATIENCE);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  const open = (page: string): Promise<Visit> => visitPage(browser, `${address}${page}/`);

  test("npm run example serves a page from its sources", { timeout: PATIENCE }, async () => {
    const child = command("operation");
    try {
      const at = await new Promise<string>((resolve, reject) => {
        let said = "";
        for (const stream of [child.stdout, child.stderr])
          stream.on("data", (data) => {
            said += data;
            const [found] = /http:\/\/localhost:\d+\//.exec(said) ?? [];
            if (found) resolve(found);
          });
        child.on("close", () => reject(new Error(said)));
      });
      const { page, until, errors } = await visitPage(browser, at);
      await until("output", (now) => now.startsWith("Step"), PATIENCE);
      expect(errors).toEqual([]);
      await page.close();
    } finally {
      process.kill(-(child.pid as number), "SIGTERM"); // npm, and the server that it started
    }
  });

  test("the pages are served under a strict policy", async () => {
    const { headers } = await fetch(`${address}stream/`);
    expect(headers.get("content-security-policy")).toBe(POLICY);
  });

  test("text streams, and stops when asked to", { timeout: PATIENCE }, async () => {
    const { page, until, text, errors } = await open("stream");
    await until("output", (now) => now.startsWith("Ready"), PATIENCE);
    await page.click("form button");
    await until("output", (now) => now.length > "Call me".length + 20, PATIENCE);
    await page.click("#stop");
    const stopped = await text("output");
    expect(stopped.startsWith("Call me")).toBe(true);
    await page.click("form button");
    await until("output", (now) => now !== stopped && now.length > "Call me".length, PATIENCE);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a worker's text goes on over two prompts", async () => {
    const { page, fill, until, text, errors } = await open("worker");
    await until("#state", (now) => now.startsWith("Ready"), PATIENCE);
    await page.click("form button");
    await until("#state", (now) => now.startsWith("129 tokens"), PATIENCE);
    const before = await text("#text");
    await fill("input", " Ahab");
    await page.click("form button");
    await until("#state", (now) => now.startsWith("254 tokens, remembered in 1,920 bytes"), PATIENCE);
    const after = await text("#text");
    expect(after.startsWith(before)).toBe(true);
    expect(after.slice(before.length)).toContain(" Ahab");
    expect(errors).toEqual([]);
    await page.close();
  });

  test("notes are learnt, and known again after a reload", { timeout: PATIENCE }, async () => {
    const { page, fill, until, text, errors } = await open("notes");
    await until("output", (now) => now === "Ready to learn.", PATIENCE);
    await page.click("#learn");
    // No notes yet: a sentence, and a page that goes on.
    await until("output", (now) => now.includes("the text is empty"), PATIENCE);
    await fill("textarea", "water the ferns on monday. ".repeat(20));
    await page.waitForSelector("#learn:not(:disabled)");
    await page.click("#learn");
    await until("output", (now) => now.startsWith("Learnt"), PATIENCE);
    await page.reload();
    await until("output", (now) => now.startsWith("Back"), PATIENCE);
    expect(await page.$eval("textarea", ({ value }) => value)).toContain("ferns");
    await page.click("#write");
    await until("output", (now) => now.includes("the ferns"), PATIENCE);
    await page.waitForSelector("#forget:not(:disabled)", { timeout: PATIENCE });
    await page.click("#forget");
    await until("output", (now) => now === "Forgotten.", PATIENCE);
    await page.reload();
    await until("output", (now) => now === "Ready to learn.", PATIENCE);
    expect(await text("textarea")).toBe("");
    expect(errors).toEqual([]);
    await page.close();
  });

  test("three.js draws what the model remembers, from the same memory", async () => {
    const { page, until, errors } = await open("three");
    /** The canvas in the frame in which it was drawn: how many colours it has, and a number that tells pictures apart. */
    const picture = () =>
      page.evaluate(
        () =>
          new Promise<{ readonly colours: number; readonly hash: number }>((resolve) =>
            requestAnimationFrame(() => {
              const canvas = document.querySelector("canvas") as HTMLCanvasElement;
              const { width, height } = canvas;
              const pen = new OffscreenCanvas(width, height).getContext("2d") as OffscreenCanvasRenderingContext2D;
              pen.drawImage(canvas, 0, 0);
              const pixels = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
              resolve({
                colours: new Set(pixels).size,
                hash: pixels.reduce((hash, pixel) => (Math.imul(hash, 31) + pixel) | 0, 0),
              });
            }),
          ),
      );
    await until("output", (now) => now.length > 2, PATIENCE);
    const first = await picture();
    await until("output", (now) => now.length > 9, PATIENCE);
    const later = await picture();
    expect(first.colours).toBeGreaterThan(20);
    expect(later.hash).not.toBe(first.hash);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("an operation from a .wgsl file trains through its gradient", async () => {
    const { page, until, errors } = await open("operation");
    const said = await until("output", (now) => now.startsWith("Step 500"), PATIENCE);
    expect(Number(/error ([\d.]+)/.exec(said)?.[1])).toBeLessThan(0.05);
    expect(errors).toEqual([]);
    await page.close();
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    await project.node(tsc, ["-p", join(folder, "operation")]);
  });
});

describe.skipIf("missing" in vulkan)("in a program", () => {
  const env = { ...process.env, ...("env" in vulkan ? vulkan.env : {}) };
  const run = async (program: string, args: readonly string[]) =>
    (await promisify(execFile)(program, args, { cwd: folder, env, timeout: PATIENCE })).stdout;

  test("Node writes on Dawn", async () => {
    expect(await run(process.execPath, ["node/main.js", "The sea"])).toMatch(/^The sea.{200,}\n$/s);
  });

  test.skipIf(!existsSync(deno))("Deno checks the types and writes on wgpu", async () => {
    const said = await run(deno, ["run", "--check", "--unstable-webgpu", "--allow-all", "deno/main.ts", "The sea"]);
    expect(said).toMatch(/^The sea.{200,}\n$/s);
  });
});
