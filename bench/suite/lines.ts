/** Every line of the suite: what the files beside this one export as `lines`, in their alphabetic order. */
import type { Line } from "../line.ts";

const files = import.meta.glob<{ lines?: readonly Line[] }>(["./*.ts", "!./lines.ts", "!./inputs.ts"], { eager: true });

export const LINES: readonly Line[] = Object.values(files).flatMap(({ lines = [] }) => lines);
