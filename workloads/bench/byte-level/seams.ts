import type { TextSplit } from './split-pattern.js';
import type { TokenBytes } from './token-bytes.js';

/**
 * Patterns that never match across a seam, which is an ASCII letter followed by a space and a second letter, and that
 * never look further ahead than one: text may then be cut at every seam, and each part be tokenized for itself. That
 * holds where no alternative takes a space behind a letter. Written as in tokenizer.json.
 */
const SEAM_PATTERNS: ReadonlySet<string> = new Set([
  // Qwen 2, 2.5 and 3.
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Qwen 3.5.
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Llama 3, GLM 4.
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // gpt-oss.
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Mistral's Tekken.
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  // DeepSeek V3 and R1, three in a row.
  '\\p{N}{1,3}',
  '[一-龥\u3040-ゟ゠-ヿ]+',
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
]);

const SEAM = /[A-Za-z] [A-Za-z]/;

/** Whether text may be cut at seams. @param addedTokens found in the text ahead of everything else */
export function hasSeams(splits: readonly TextSplit[], addedTokens: readonly string[]): boolean {
  return (
    splits.length > 0 &&
    splits.every((split) => split === 'gpt-2' || SEAM_PATTERNS.has(split.regex)) &&
    !addedTokens.some((token) => SEAM.test(token))
  );
}

const SPACE = 32;

/** Where seams are among ids, by id: 1 in both, one behind the other, is one. */
export interface SeamSides {
  /** Ends with a letter. */
  readonly endsBefore: Uint8Array;
  /** Begins with a space and a letter. */
  readonly beginsAt: Uint8Array;
}

export function seamSides({ pool, starts, count }: TokenBytes): SeamSides {
  const sides = { endsBefore: new Uint8Array(count), beginsAt: new Uint8Array(count) };
  for (let id = 0; id < count; id += 1) {
    const start = starts[id] ?? 0;
    const end = starts[id + 1] ?? 0;
    if (end > start) {
      sides.endsBefore[id] = isLetter(pool[end - 1] ?? 0) ? 1 : 0;
      sides.beginsAt[id] = end > start + 1 && pool[start] === SPACE && isLetter(pool[start + 1] ?? 0) ? 1 : 0;
    }
  }
  return sides;
}

function isLetter(byte: number): boolean {
  const lower = byte | 32;
  return lower >= 97 && lower <= 122;
}
