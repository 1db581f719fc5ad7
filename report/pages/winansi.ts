/** Above ASCII and Latin-1: what the standard fonts of PDF have as well (Windows-1252). */
const further = new Set('€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ');

/**
 * Text that the standard fonts of PDF can show, so that none has to be embedded. Any other letter is spelled out,
 * as `\u{4e2d}`: not pretty, but two different names stay different.
 */
export function pdfText(text: string): string {
  let shown = '';
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const has = (code >= 32 && code < 127) || (code >= 160 && code < 256) || further.has(character);
    shown += has ? character : (spelled[character] ?? `\\u{${code.toString(16)}}`);
  }
  return shown;
}

const spelled: Readonly<Record<string, string>> = {
  '≤': '<=',
  '≥': '>=',
  '→': '->',
  '−': '-',
  '\u202f': ' ',
  '\u2009': ' ',
};
