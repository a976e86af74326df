/**
 * Takes comments and superfluous whitespace out of WGSL. Identifiers stay, so reflection and error
 * messages name the same things in a development and in a production build.
 */

const LINE_BREAK = /[\n\v\f\r\u0085\u2028\u2029]/;
const BLANK = /[\s\u0085\u200e\u200f]/;
const WORD = /[\p{ID_Continue}.]/u;
/** Characters of which two in a row may read as one token: `a - -b` must not become `a--b`. */
const OPERATOR = /[-+*/%&|^!<>=~]/;

/** Index behind the comment that starts at `at`; block comments nest in WGSL. */
function skipComment(source: string, at: number): number {
  if (source[at + 1] === "/") {
    while (at < source.length && !LINE_BREAK.test(source[at]!)) at++;
    return at;
  }
  let depth = 0;
  do {
    const pair = source.slice(at, at + 2);
    if (pair === "/*") depth++;
    if (pair === "*/") depth--;
    at += pair === "/*" || pair === "*/" ? 2 : 1;
  } while (depth > 0 && at < source.length);
  return at;
}

/** The same WGSL program in fewer characters. */
export function strip(source: string): string {
  let out = "";
  let gap = false;
  for (let at = 0; at < source.length; ) {
    const char = source[at]!;
    if (char === "/" && (source[at + 1] === "/" || source[at + 1] === "*")) {
      at = skipComment(source, at);
      gap = true;
    } else if (BLANK.test(char)) {
      at++;
      gap = true;
    } else {
      const last = out.at(-1) ?? "";
      const needed = (WORD.test(last) && WORD.test(char)) || (OPERATOR.test(last) && OPERATOR.test(char));
      if (gap && needed) out += " ";
      out += char;
      gap = false;
      at++;
    }
  }
  return out;
}
