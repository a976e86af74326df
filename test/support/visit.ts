/** A page in a browser, for the end-to-end tests. */
import type { Browser, Page } from "puppeteer";

/** A page that remembers every error nobody handled. */
export interface Visit {
  readonly page: Page;
  readonly errors: readonly string[];
  text(selector: string): Promise<string>;
  /** Waits until an element's text satisfies `holds`, which runs in the page; fails with the last text. */
  until(selector: string, holds: (text: string) => boolean, timeout?: number): Promise<string>;
  enabled(selector: string, timeout?: number): Promise<void>;
  /** Replaces the value of a field, as typing and leaving it would. */
  fill(selector: string, value: string): Promise<void>;
  /** How far the page has moved under its reader without being asked, as Chrome counts layout shifts: 0 is not at all. */
  shifted(): Promise<number>;
}

/** Counts layout shifts that follow no input. Samples move by design: each new one comes in above the others. */
function countShifts(): void {
  const counted = window as unknown as { shifted: number };
  counted.shifted = 0;
  interface Shift extends PerformanceEntry {
    readonly value: number;
    readonly hadRecentInput: boolean;
    readonly sources: readonly { readonly node: Node | null }[];
  }
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources } of list.getEntries() as Shift[]) {
      const samples = document.getElementById("samples");
      const ours = sources.some(({ node }) => node && !samples?.contains(node) && node.isConnected);
      if (!hadRecentInput && ours) counted.shifted += value;
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** @param stub runs in the page before its own scripts */
export async function visitPage(browser: Browser, url: string, stub?: () => void): Promise<Visit> {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.evaluateOnNewDocument(countShifts);
  if (stub) await page.evaluateOnNewDocument(stub);
  await page.goto(url);
  const everything = () => page.$eval("body", (body) => body.textContent);
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
        if (Date.now() > end) throw new Error(`${selector} still says "${now}"; the page: "${await everything()}"`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async enabled(selector, timeout = 30_000) {
      await page.waitForSelector(`${selector}:not(:disabled)`, { timeout }).catch(async () => {
        throw new Error(`${selector} stays disabled; the page: "${await everything()}"`);
      });
    },
    shifted: () => page.evaluate(() => (window as unknown as { shifted: number }).shifted),
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
