import { describe, expect, test } from "vitest";
import { modelKinds, widthOf } from "../../src/models/registry.ts";

describe.each(modelKinds.map((kind) => [kind.kind, kind] as const))("the sizes of %s", (name, kind) => {
  test("keep every option in its bounds", () => {
    for (const width of [8, 24, 64, 96, 128, 200, 512, 1024]) {
      const config = kind.sized({ vocabSize: 65, width, numLayers: 2 });
      expect(config.kind).toBe(name);
      for (const option of kind.options) {
        const value = config[option.name];
        expect(value, `${option.name} at width ${width}`).toBeGreaterThanOrEqual(option.min);
        expect(value, `${option.name} at width ${width}`).toBeLessThanOrEqual(option.max);
      }
      if (config.heads) expect(width % (config.heads as number)).toBe(0);
    }
  });

  test.each([30_000, 200_000, 3_000_000])("meet %d parameters", (parameters) => {
    const size = { vocabSize: 65, numLayers: 2 };
    const width = widthOf(name, parameters, size);
    expect(width % 8).toBe(0);
    const error = (w: number) => Math.abs(kind.parameterCount(kind.sized({ ...size, width: w })) - parameters);
    if (width > 8) expect(error(width)).toBeLessThanOrEqual(error(width - 8));
    expect(error(width)).toBeLessThanOrEqual(error(width + 8));
  });

  test("refuse too few parameters", () => {
    expect(() => widthOf(name, 100, { vocabSize: 65, numLayers: 2 })).toThrow(/width 8 already has/);
  });
});
