import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

/** Isolation of the page, without which browsers give WASM no threads and coarse clocks. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/**
 * Serves an empty page that loads /dist/page.js, and folders by their first part.
 * @param folders "dist" -> where its files lie
 */
export async function serve(folders: Readonly<Record<string, string>>): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    if (path === "/") {
      response.setHeader("content-type", "text/html");
      response.end(`<!doctype html><title>peers</title><script type="module" src="/dist/page.js"></script>`);
      return;
    }
    const [, first, ...rest] = path.split("/");
    const file = folders[first] && join(folders[first], ...rest);
    if (!file || !existsSync(file)) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  return { url: `http://localhost:${(server.address() as AddressInfo).port}`, server };
}
