/** Lets vitest's browser mode run in Chrome through puppeteer. */
import { defineBrowserProvider } from "@vitest/browser";
import type { Browser, Page } from "puppeteer";
import { launchChrome } from "../../scripts/chrome.ts";

/** One Chrome for all sessions, one page a session; what a page logs goes to vitest's own console. */
export const chrome = defineBrowserProvider({
  name: "chrome",
  supportedBrowser: ["chrome"],
  providerFactory() {
    let browser: Promise<Browser> | null = null;
    const pages = new Map<string, Page>();
    return {
      name: "chrome",
      supportsParallelism: false,
      getCommandsContext: (sessionId) => ({ page: pages.get(sessionId) }),
      async openPage(sessionId, url) {
        browser ??= launchChrome();
        const page = await (await browser).newPage();
        pages.set(sessionId, page);
        await page.goto(url);
      },
      async close() {
        await (await browser)?.close();
      },
    };
  },
});
