import { FileError, LimitError } from "../gpu/errors.ts";

/** A file: its bytes, a Blob or File, an address to fetch, or the answer to a request of your own. */
export type ByteSource = ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | Response | URL | string;

/** How much of a file has come. */
export interface Progress {
  /** Bytes so far. */
  readonly loaded: number;
  /** Bytes in all; null while nothing tells. */
  readonly total: number | null;
}

/** How a file is read. */
export interface ReadOptions {
  /** Told at the start, about every 128 KiB, and at the end. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the reading, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

const REPORT_EVERY = 2 ** 17;
/** A web page where a file was expected: a login, an error, or the page about the file. */
const HTML = /^\s*<(!doctype html|html|head|body)\b/i;

/**
 * A file as it comes in: its first bytes can be looked at, and the rest be refused, before it is all there.
 * End it with `close`.
 */
export class FileReading {
  /** What messages call the file. */
  readonly name: string;
  /** Bytes of the file, where its source tells; of a compressed answer only an estimate. */
  private expected: number | null;
  private readonly source: ReadableStreamDefaultReader<Uint8Array> | null;
  private readonly options: ReadOptions;
  private readonly stop: () => void;
  private held: Uint8Array<ArrayBuffer>;
  private length: number;
  private ended: boolean;
  private reported = -1;

  /**
   * @throws FileError `fetch` if the address does not answer with a file, `html-page` if it does with a web page
   * @throws the reason of an aborted signal
   */
  static async open(source: ByteSource, options: ReadOptions = {}): Promise<FileReading> {
    options.signal?.throwIfAborted();
    if (source instanceof Uint8Array) return new FileReading("the file", source, source.length, options);
    if (source instanceof ArrayBuffer)
      return new FileReading("the file", new Uint8Array(source), source.byteLength, options);
    if (source instanceof Blob) {
      const name = (source as Partial<File>).name || "the file";
      return new FileReading(name, source.stream(), source.size, options);
    }
    const response = source instanceof Response ? source : await request(`${source}`, options.signal);
    const name = source instanceof Response ? source.url || "the answer" : `${source}`;
    if (!response.ok) {
      await response.body?.cancel();
      const status = `${response.status} ${response.statusText}`.trim();
      throw new FileError("fetch", `open: ${name} answered ${status}; check the address, and whether it needs a login`);
    }
    if (/\btext\/html\b/i.test(response.headers.get("content-type") ?? "")) {
      await response.body?.cancel();
      throw webPage(name);
    }
    const announced = response.headers.get("content-length");
    const body = response.body ?? new Uint8Array(0);
    return new FileReading(name, body, announced === null ? null : Number(announced), options);
  }

  private constructor(
    name: string,
    content: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
    expected: number | null,
    options: ReadOptions,
  ) {
    this.name = name;
    this.options = options;
    this.expected = expected;
    this.ended = content instanceof Uint8Array;
    this.held = content instanceof Uint8Array ? content : new Uint8Array(0);
    this.length = this.held.length;
    this.source = content instanceof Uint8Array ? null : content.getReader();
    // A pending read of a stream that somebody else made ends only this way.
    this.stop = () => void this.source?.cancel(options.signal?.reason).catch(() => {});
    options.signal?.addEventListener("abort", this.stop);
    this.report(true);
  }

  /** Bytes of the file: known for certain only of what is already here. */
  get size(): number | null {
    return this.ended ? this.length : null;
  }

  /**
   * The first `bytes` of the file, or all of a shorter one.
   * @throws FileError if the download breaks off, or the file is a web page
   * @throws LimitError if it does not fit into memory
   */
  async head(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.length < bytes && !this.ended) await this.pull();
    const head = this.held.subarray(0, Math.min(bytes, this.length));
    if (HTML.test(String.fromCharCode(...head.subarray(0, 256)))) throw webPage(this.name);
    return head;
  }

  /**
   * The whole file.
   * @param size its bytes, where its own header tells
   * @throws FileError `truncated` if it ends early; else as `head`
   */
  async all(size?: number): Promise<Uint8Array<ArrayBuffer>> {
    this.expected = size ?? this.expected;
    if (!this.ended && this.expected !== null) this.grow(this.expected);
    while (!this.ended) await this.pull();
    this.report(true);
    if (this.length < (this.expected ?? 0)) {
      throw new FileError(
        "truncated",
        `open: ${this.name} ended after ${this.length} of ${this.expected} bytes; load it again`,
      );
    }
    return this.held.subarray(0, this.length);
  }

  /** Ends the download if it still goes on. */
  close(): void {
    this.options.signal?.removeEventListener("abort", this.stop);
    if (!this.ended) this.stop();
  }

  private async pull(): Promise<void> {
    const chunk = await this.next();
    this.options.signal?.throwIfAborted();
    if (!chunk) {
      this.ended = true;
      return;
    }
    this.grow(this.length + chunk.length);
    this.held.set(chunk, this.length);
    this.length += chunk.length;
    this.report();
  }

  private async next(): Promise<Uint8Array | undefined> {
    try {
      return (await this.source?.read())?.value;
    } catch (error) {
      this.options.signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      const of = this.expected === null ? "" : ` of ${this.expected}`;
      throw new FileError(
        "truncated",
        `open: ${this.name} broke off after ${this.length}${of} bytes (${reason}); load it again`,
      );
    }
  }

  /** Room for so many bytes, at least doubled while the size is not known. */
  private grow(bytes: number): void {
    if (bytes <= this.held.length) return;
    const room = Math.max(bytes, Math.min(2 * this.held.length, this.expected ?? Number.POSITIVE_INFINITY));
    try {
      const larger = new Uint8Array(room);
      larger.set(this.held.subarray(0, this.length));
      this.held = larger;
    } catch {
      throw new LimitError(
        `open: ${this.name} of ${bytes} bytes does not fit into one buffer here; use a smaller model, or one in half precision`,
      );
    }
  }

  private report(always = false): void {
    const { onProgress } = this.options;
    if (!onProgress || (!always && this.length - this.reported < REPORT_EVERY) || this.length === this.reported) return;
    this.reported = this.length;
    onProgress({ loaded: this.length, total: this.expected === null ? null : Math.max(this.expected, this.length) });
  }
}

/**
 * All bytes of a source.
 * @throws as `FileReading`
 */
export async function readAll(source: ByteSource, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const file = await FileReading.open(source, options);
  try {
    await file.head(256);
    return await file.all();
  } finally {
    file.close();
  }
}

async function request(address: string, signal: AbortSignal | undefined): Promise<Response> {
  try {
    return await fetch(address, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    // Programs tell why a connection failed; pages hide it, and may have been kept from the answer.
    const { message, cause } = error as Error & { readonly cause?: Partial<Error> & { readonly code?: string } };
    const reason = cause?.message || cause?.code || message;
    const inPage = "origin" in globalThis;
    throw new FileError(
      "fetch",
      `open: ${address} cannot be fetched (${reason}); check the address and the network${inPage ? ", and that its server lets other pages read it (CORS)" : ""}`,
    );
  }
}

function webPage(name: string): FileError {
  return new FileError(
    "html-page",
    `open: ${name} is a web page instead of a file; use the address of the file itself, on Hugging Face the one with /resolve/ in place of /blob/`,
  );
}
