/**
 * The first key that stands twice in one object of `json`, or undefined. JSON.parse keeps the last of two equal keys,
 * so only the text can tell. `json` must be valid JSON; keys are compared unescaped, as "a" and "\u0061" are one name.
 */
export function findDuplicateKey(json: string): string | undefined {
  // A set of keys for each open object, null for each open array.
  const open: (Set<string> | null)[] = [];
  let i = 0;
  while (i < json.length) {
    switch (json[i++]) {
      case "{":
        open.push(new Set());
        break;
      case "[":
        open.push(null);
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case '"': {
        const start = i - 1;
        i = stringEnd(json, i);
        const keys = open.at(-1);
        if (!keys || !isFollowedByColon(json, i)) break;
        const key = JSON.parse(json.slice(start, i)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
    }
  }
  return undefined;
}

/** The index behind the closing quote of the string whose first character is at `i`. */
function stringEnd(json: string, i: number): number {
  while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
  return i + 1;
}

function isFollowedByColon(json: string, i: number): boolean {
  while (json[i] === " " || json[i] === "\n" || json[i] === "\r" || json[i] === "\t") i++;
  return json[i] === ":";
}
