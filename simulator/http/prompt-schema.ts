/** Braces that are tried; a prompt's own schema comes early. */
const MOST_BRACES = 40;

/**
 * The JSON schema of an object that a prompt holds, as clients put it there who ask for `json_object` and trust the model to
 * read it; null: there is none.
 */
export function schemaInPrompt(texts: readonly string[]): unknown {
  for (const text of texts) {
    let at = -1;
    for (let tried = 0; tried < MOST_BRACES; tried += 1) {
      at = text.indexOf('{', at + 1);
      if (at < 0) break;
      const value = objectAt(text, at);
      if (isObject(value) && isObject(value.properties)) return value;
    }
  }
  return null;
}

/** The JSON object that begins here; undefined: it is none. */
function objectAt(text: string, start: number): unknown {
  const end = closingBrace(text, start);
  if (end === null) return undefined;
  try {
    return JSON.parse(text.slice(start, end + 1));
  } catch {
    return undefined;
  }
}

function closingBrace(text: string, start: number): number | null {
  const token = /"(?:[^"\\]|\\.)*"|[{}]/g;
  token.lastIndex = start;
  let depth = 0;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    if (match[0] === '{') depth += 1;
    else if (match[0] === '}') depth -= 1;
    if (depth === 0) return match.index;
  }
  return null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
