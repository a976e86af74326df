/** Characters that a backslash stands in front of. Source: The Python Language Reference, 2.4.1. */
const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
const LITERAL = /^(b?)(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")$/su;
const ESCAPE = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))/gsu;
const LAST_CODE_POINT = 0x10ffff;

/**
 * The bytes of a string or bytes literal of Python, text as UTF-8; undefined if `source` is none. Only the literal is
 * read, nothing is evaluated.
 */
export function pythonBytes(source: string): Uint8Array<ArrayBuffer> | undefined {
  const [, prefix, single, double] = LITERAL.exec(source) ?? [];
  const body = single ?? double;
  if (body === undefined) return undefined;
  const bytes = prefix === "b";
  let known = true;
  const text = body.replace(ESCAPE, (_, hex, four, eight, octal, one) => {
    const code = octal === undefined ? Number.parseInt(hex ?? four ?? eight, 16) : Number.parseInt(octal, 8);
    // Bytes know no \u, and a backslash before anything else stands for itself in Python, but in no repr.
    const valid = one === undefined ? code <= LAST_CODE_POINT && !(bytes && (four ?? eight)) : one in ESCAPES;
    known &&= valid;
    if (!valid) return "";
    return one === undefined ? String.fromCodePoint(code) : (ESCAPES[one] as string);
  });
  if (!known) return undefined;
  if (!bytes) return new TextEncoder().encode(text);
  const codes = Array.from(text, (character) => character.charCodeAt(0));
  return codes.every((code) => code < 256) ? Uint8Array.from(codes) : undefined;
}
