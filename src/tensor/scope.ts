import { ValueError } from "../gpu/errors.ts";

interface Disposable {
  readonly disposed: boolean;
  dispose(): void;
}

let current: Set<Disposable> | null = null;

/** Registers a new tensor with the innermost scope. */
export function adopt(tensor: Disposable): void {
  current?.add(tensor);
}

export function forget(tensor: Disposable): void {
  current?.delete(tensor);
}

/** Takes a tensor out of the innermost scope, so that it outlives it. */
export function keep<T extends Disposable>(tensor: T): T {
  current?.delete(tensor);
  return tensor;
}

/**
 * Runs `fn` and disposes every tensor made in it, except those in its result (also inside arrays, plain
 * objects and objects with `tensors`, such as model states), which pass to the scope around it.
 * @throws ValueError if `fn` returns a promise: tensors made after the first await would escape
 */
export function scope<R>(fn: () => R): R {
  const outer = current;
  const made = new Set<Disposable>();
  current = made;
  let result: R;
  try {
    result = fn();
  } catch (error) {
    current = outer;
    for (const tensor of made) tensor.dispose();
    throw error;
  }
  current = outer;
  if (result instanceof Promise) {
    for (const tensor of made) tensor.dispose();
    throw new ValueError("scope: the function is async; await outside the scope and return tensors from it");
  }
  for (const tensor of tensorsIn(result)) if (made.delete(tensor)) outer?.add(tensor);
  for (const tensor of made) tensor.dispose();
  return result;
}

function tensorsIn(value: unknown, found = new Set<Disposable>()): Set<Disposable> {
  if (value === null || typeof value !== "object") return found;
  if ("dispose" in value && "storage" in value) found.add(value as unknown as Disposable);
  else if ("tensors" in value) tensorsIn(value.tensors, found);
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, found);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) tensorsIn(item, found);
  return found;
}
