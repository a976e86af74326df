import type { Storage } from "../gpu/storage.ts";

let warned = false;

/** Takes memory back from tensors that were garbage-collected without dispose(), and says so once. */
class LeakRegistry {
  private readonly registry = new FinalizationRegistry<Storage>((storage) => {
    if (!storage.live) return;
    this.count++;
    storage.release();
    if (warned) return;
    warned = true;
    console.warn(
      "ostinato: a tensor was garbage-collected without dispose(); its memory was taken back late. Wrap the code that made it in scope(), or use `using`.",
    );
  });
  /** Tensors taken back so far. */
  count = 0;

  register(tensor: object, storage: Storage): void {
    this.registry.register(tensor, storage, tensor);
  }

  unregister(tensor: object): void {
    this.registry.unregister(tensor);
  }
}

export const reportLeaks = new LeakRegistry();
