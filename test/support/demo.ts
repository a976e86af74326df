/** The built demo in a browser, for the end-to-end tests. */
import { join } from "node:path";
import type { Browser, Page } from "puppeteer";
import { build, type PreviewServer, preview } from "vite";
import { launchChrome } from "../../scripts/chrome.ts";

const configFile = join(import.meta.dirname, "../../vite.config.ts");

export interface Demo {
  readonly browser: Browser;
  /** On localhost, which browsers take as secure. */
  readonly url: string;
  /** By the machine's address, over plain http; null on a machine without a network. */
  readonly insecureUrl: string | null;
  close(): Promise<void>;
}

/** Builds the demo, serves it and starts a browser. */
export async function startDemo(): Promise<Demo> {
  await build({ configFile, logLevel: "error" });
  const server: PreviewServer = await preview({ configFile, logLevel: "error", preview: { host: true, port: 0 } });
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
    },
  };
}

/** A page of the demo that remembers every error nobody handled. */
export interface Visit {
  readonly page: Page;
  readonly errors: readonly string[];
  text(selector: string): Promise<string>;
  /** Waits until an element's text satisfies `holds`, which runs in the page; fails with the last text. */
  until(selector: string, holds: (text: string) => boolean, timeout?: number): Promise<string>;
  enabled(selector: string, timeout?: number): Promise<void>;
  /** Replaces the value of a field, as typing and leaving it would. */
  fill(selector: string, value: string): Promise<void>;
}

/** @param stub runs in the page before its own scripts */
export async function visit(demo: Demo, url = demo.url, stub?: () => void): Promise<Visit> {
  const page = await demo.browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  if (stub) await page.evaluateOnNewDocument(stub);
  await page.goto(url);
  const text = (selector: string) => page.$eval(selector, (element) => element.textContent?.trim() ?? "");
  return {
    page,
    errors,
    text,
    async until(selector, holds, timeout = 30_000) {
      const end = Date.now() + timeout;
      for (;;) {
        const now = await text(selector);
        if (holds(now)) return now;
        if (Date.now() > end) throw new Error(`${selector} still says "${now}"; the page: "${await text("#status")}"`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async enabled(selector, timeout = 30_000) {
      await page.waitForSelector(`${selector}:not(:disabled)`, { timeout }).catch(async () => {
        throw new Error(`${selector} stays disabled; the page: "${await text("#status")}"`);
      });
    },
    async fill(selector, value) {
      await page.$eval(
        selector,
        (element, value) => {
          const field = element as HTMLInputElement;
          field.value = value;
          field.dispatchEvent(new Event("input", { bubbles: true }));
          field.dispatchEvent(new Event("change", { bubbles: true }));
        },
        value,
      );
    },
  };
}
