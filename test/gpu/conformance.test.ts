/** The fixture cases that every clone has; `npm run conformance` runs a whole folder of them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { NotCovered } from "../conformance/kind.ts";
import type { Manifest } from "../conformance/manifest.ts";
import { kinds, runCase } from "../conformance/run.ts";
import { getGpu } from "../support/device.ts";
import { readFile } from "../support/files.ts";

const FOLDER = "test/fixtures/cases";
const manifest = JSON.parse(new TextDecoder().decode(await readFile(`${FOLDER}/manifest.json`))) as Manifest;

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

for (const entry of manifest.cases) {
  test.skipIf(!kinds[entry.kind])(entry.name, async (context) => {
    const bytes = await readFile(`${FOLDER}/${entry.file}`);
    const before = device.stats.memory.live;
    try {
      const [worst] = await runCase(device, entry, bytes);
      expect(worst?.ratio, `${worst?.tensor} ${worst?.detail}`).toBeLessThanOrEqual(1);
      expect(device.stats.memory.live, "bytes that were not given back").toBe(before);
    } catch (error) {
      if (error instanceof NotCovered) context.skip();
      throw error;
    }
  });
}
