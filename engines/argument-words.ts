/**
 * Splits a text into arguments as a shell would, and does nothing else a shell does: words are parted by white space;
 * '...' keeps everything as it is; "..." and text outside quotes take a backslash before a character for that character
 * (inside "..." only before `"` and `\`). No variables, no globs, no substitution.
 * @throws Error that says what is open
 */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote: "'" | '"' | null = null;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    const next = text.charAt(at + 1);
    if (quote === null && /\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
      continue;
    }
    word ??= '';
    if (character === quote) quote = null;
    else if (quote === null && (character === "'" || character === '"')) quote = character;
    else if (character === '\\' && (quote === null || (quote === '"' && (next === '"' || next === '\\')))) {
      if (next === '') throw new Error('a backslash at the end escapes nothing');
      word += next;
      at += 1;
    } else word += character;
  }
  if (quote !== null) throw new Error(`a quote (${quote}) is not closed`);
  if (word !== null) words.push(word);
  return words;
}

/** The first of `reserved` options among the words, as `--port 1` or `--port=1`; null where there is none. */
export function reservedOption(words: readonly string[], reserved: readonly string[]): string | null {
  return reserved.find((option) => words.some((word) => word === option || word.startsWith(`${option}=`))) ?? null;
}
