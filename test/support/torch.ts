/** Files as torch.save writes them: a pickle and its storages in a zip archive of stored records. */

export interface TorchTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint16Array;
  /** Default torch.FloatStorage. */
  readonly storage?: string;
}

const bytesOf = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const little = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);

/** Reversed polynomial 0xedb88320, bit by bit. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

export interface ZipOptions {
  /** 64-bit sizes and places, as archives over 4 GiB have them. */
  readonly wide?: boolean;
  readonly checksum?: (bytes: Uint8Array) => number;
}

/** A zip archive of stored records. */
export function zipOf(
  records: readonly (readonly [name: string, content: string | Uint8Array])[],
  { wide = false, checksum = crc32 }: ZipOptions = {},
): Uint8Array<ArrayBuffer> {
  const file: number[] = [];
  const directory: number[] = [];
  for (const [name, content] of records) {
    const bytes = typeof content === "string" ? bytesOf(content) : content;
    const place = file.length;
    const size = wide ? [255, 255, 255, 255] : little(bytes.length, 4);
    const extra = wide ? [1, 0, 24, 0, ...[bytes.length, bytes.length, place].flatMap((n) => little(n, 8))] : [];
    const fields = [...little(checksum(bytes), 4), ...size, ...size, ...little(name.length, 2)];
    // Version, flags, method and time in front of the checksum are zero: stored.
    file.push(...bytesOf("PK\x03\x04"), ...little(0, 10), ...fields, 0, 0, ...bytesOf(name));
    for (const byte of bytes) file.push(byte);
    const offset = wide ? [255, 255, 255, 255] : little(place, 4);
    directory.push(...bytesOf("PK\x01\x02"), ...little(0, 12), ...fields, ...little(extra.length, 2), ...little(0, 10));
    directory.push(...offset, ...bytesOf(name), ...extra);
  }
  const begin = file.length;
  const end64 = begin + directory.length;
  const count = records.length;
  if (wide) {
    const sizes = [count, count, directory.length, begin].flatMap((n) => little(n, 8));
    directory.push(...bytesOf("PK\x06\x06"), ...little(44, 8), ...little(0, 12), ...sizes);
    directory.push(...bytesOf("PK\x06\x07"), ...little(0, 4), ...little(end64, 8), ...little(1, 4));
  }
  const sums = wide
    ? new Array<number>(12).fill(255)
    : [...little(count, 2), ...little(count, 2), ...little(directory.length, 4), ...little(begin, 4)];
  return Uint8Array.from([...file, ...directory, ...bytesOf("PK\x05\x06"), ...little(0, 4), ...sums, 0, 0]);
}

/** A file of torch.save that holds a dictionary of tensors; `wrap` puts it into another dictionary under that name. */
export function torchFile(
  tensors: ReadonlyMap<string, TorchTensor>,
  options: ZipOptions & { readonly wrap?: string } = {},
): Uint8Array<ArrayBuffer> {
  const text = (value: string) => `X${latin(little(value.length, 4))}${value}`;
  const number = (value: number) => `J${latin(little(value, 4))}`;
  const tuple = (values: readonly number[]) => `(${values.map(number).join("")}t`;
  const entries = [...tensors].map(([name, { shape, data, storage = "FloatStorage" }], key) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
    const source = `(${text("storage")}ctorch\n${storage}\n${text(`${key}`)}${text("cpu")}${number(data.length)}tQ`;
    const sizes = `${number(0)}${tuple(shape)}${tuple(strides)}\x89ccollections\nOrderedDict\n)R`;
    return `${text(name)}ctorch._utils\n_rebuild_tensor_v2\n(${source}${sizes}tR`;
  });
  const dict = `}(${entries.join("")}u`;
  const pickle = `\x80\x02${options.wrap === undefined ? dict : `}(${text(options.wrap)}${dict}u`}.`;
  const storages = [...tensors.values()].map(({ data }, key) => [`archive/data/${key}`, raw(data)] as const);
  return zipOf([["archive/data.pkl", pickle], ...storages, ["archive/version", "3\n"]], options);
}

const latin = (codes: readonly number[]) => String.fromCharCode(...codes);
const raw = ({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);
