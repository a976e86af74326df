/** The built demo in a browser, for the end-to-end tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "puppeteer";
import { build, type PreviewServer, preview } from "vite";
import { launchChrome } from "../../scripts/chrome.ts";
import { type Visit, visitPage } from "./visit.ts";

export type { Visit } from "./visit.ts";

const configFile = join(import.meta.dirname, "../../vite.config.ts");

export interface Demo {
  readonly browser: Browser;
  /** On localhost, which browsers take as secure. */
  readonly url: string;
  /** By the machine's address, over plain http; null on a machine without a network. */
  readonly insecureUrl: string | null;
  close(): Promise<void>;
}

/** Builds the demo into a folder of its own, where no other build changes it, serves it and starts a browser. */
export async function startDemo(): Promise<Demo> {
  const outDir = await mkdtemp(join(tmpdir(), "ostinato-demo-"));
  const config = { configFile, logLevel: "error", build: { outDir } } as const;
  await build(config);
  const server: PreviewServer = await preview({ ...config, preview: { host: true, port: 0 } });
  const browser = await launchChrome();
  const url = server.resolvedUrls?.local[0];
  if (!url) throw new Error("vite serves the demo at no local address");
  return {
    browser,
    url,
    insecureUrl: server.resolvedUrls?.network[0] ?? null,
    async close() {
      await browser.close();
      await server.close();
      await rm(outDir, { recursive: true, force: true });
    },
  };
}

/** @param stub runs in the page before its own scripts */
export function visit(demo: Demo, url = demo.url, stub?: () => void): Promise<Visit> {
  return visitPage(demo.browser, url, stub);
}
