/** Knobs that were measured to be the fastest, by adapter. Written by `npm run tune`; tuned.ts tells what may stand here. */
export const MEASURED = {} as const;
