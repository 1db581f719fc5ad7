import { ADJECTIVES, ADVERBS, DETERMINERS, NOUNS, OPENERS, PREPOSITIONS, VERBS } from './english-words.js';

/** Ids from here on, counted from the end of a vocabulary, are special tokens and padding (293 in Qwen3: 151,643 of 151,936). */
const RESERVED_AT_END = 293;
/** All text entries are made of these. */
const ASCII = 128;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const CONSONANTS = 'bcdfghjklmnprstvz';
const VOWELS = 'aeiou';
const PUNCTUATION = [
  '.',
  ',',
  '?',
  '!',
  ':',
  ';',
  '."',
  ',"',
  '...',
  '\n',
  '\n\n',
  '  ',
  '    ',
  '"',
  " '",
  ' "',
  ' (',
];
const CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
const CHAT_WORDS = [
  'user',
  'assistant',
  'system',
  'tool',
  'hi',
  'hello',
  'is',
  'are',
  'was',
  'and',
  'or',
  'who',
  'what',
];

/** In the order of Qwen3's ids, from 151,643. */
const SPECIAL_TOKENS = [
  '<|endoftext|>',
  '<|im_start|>',
  '<|im_end|>',
  '<|object_ref_start|>',
  '<|object_ref_end|>',
  '<|box_start|>',
  '<|box_end|>',
  '<|quad_start|>',
  '<|quad_end|>',
  '<|vision_start|>',
  '<|vision_end|>',
  '<|vision_pad|>',
  '<|image_pad|>',
  '<|video_pad|>',
  '<tool_call>',
  '</tool_call>',
  '<|fim_prefix|>',
  '<|fim_middle|>',
  '<|fim_suffix|>',
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
  '<tool_response>',
  '</tool_response>',
  '<think>',
  '</think>',
] as const;

/** Tokens of the built-in tokenizer: 256 bytes, text entries, special tokens, padding that decodes to nothing. */
export interface Vocabulary {
  readonly size: number;
  /** Text of a text entry by id; the first 256 (bytes) and everything from `firstSpecialId` on are undefined. */
  readonly texts: readonly (string | undefined)[];
  readonly idOf: ReadonlyMap<string, number>;
  readonly specialIdOf: ReadonlyMap<string, number>;
  readonly specialTextOf: ReadonlyMap<number, string>;
  readonly firstSpecialId: number;
  /** Length in UTF-16 units of the longest text entry that begins with these two, 1 where none does. */
  longestFrom(first: number, second: number): number;
}

const cache = new Map<number, Vocabulary>();

/**
 * Builds (once a size) the vocabulary of the built-in tokenizer.
 * @param size number of ids, special tokens and padding included; at least 16,384.
 */
export function vocabularyOfSize(size: number): Vocabulary {
  const known = cache.get(size);
  if (known !== undefined) return known;
  if (size < 16_384) throw new Error(`the built-in tokenizer needs a vocabulary of at least 16384, got "${size}"`);
  const built = buildVocabulary(size);
  cache.set(size, built);
  return built;
}

function buildVocabulary(size: number): Vocabulary {
  const firstSpecialId = size - RESERVED_AT_END;
  const texts: (string | undefined)[] = new Array(256).fill(undefined);
  const idOf = new Map<string, number>();
  const longest = new Uint8Array(ASCII * ASCII).fill(1);
  for (const text of entriesByImportance()) {
    if (texts.length >= firstSpecialId) break;
    if (text.length === 1 && text.charCodeAt(0) < 128) continue;
    if (idOf.has(text)) continue;
    idOf.set(text, texts.length);
    texts.push(text);
    const beginning = text.charCodeAt(0) * ASCII + text.charCodeAt(1);
    if (text.length > (longest[beginning] ?? 0)) longest[beginning] = text.length;
  }
  const specialIdOf = new Map<string, number>();
  const specialTextOf = new Map<number, string>();
  SPECIAL_TOKENS.forEach((text, index) => {
    specialIdOf.set(text, firstSpecialId + index);
    specialTextOf.set(firstSpecialId + index, text);
  });
  const longestFrom = (first: number, second: number): number =>
    first < ASCII && second < ASCII ? (longest[first * ASCII + second] ?? 1) : 1;
  return { size, texts, idOf, specialIdOf, specialTextOf, firstSpecialId, longestFrom };
}

function* entriesByImportance(): Generator<string> {
  yield* PUNCTUATION;
  yield* CONTRACTIONS;
  for (const list of [CHAT_WORDS, NOUNS, ADJECTIVES, VERBS, PREPOSITIONS, DETERMINERS, OPENERS, ADVERBS]) {
    for (const word of list) {
      yield ` ${word}`;
      yield word;
    }
  }
  for (const first of LETTERS) {
    yield ` ${first}`;
    yield ` ${first.toUpperCase()}`;
  }
  for (const prefix of ['', ' ']) {
    for (const first of LETTERS) {
      for (const second of LETTERS) yield `${prefix}${first}${second}`;
    }
  }
  for (const prefix of [' ', '']) {
    for (const first of LETTERS) {
      for (const second of LETTERS) yield `${prefix}${first.toUpperCase()}${second}`;
    }
  }
  for (const prefix of ['', ' ']) {
    for (const first of LETTERS) {
      for (const second of LETTERS) {
        for (const third of LETTERS) yield `${prefix}${first}${second}${third}`;
      }
    }
  }
  yield* syllableWords();
}

/** Pronounceable words of three syllables fill the rest: " bababa", " babace", ... */
function* syllableWords(): Generator<string> {
  const syllables: string[] = [];
  for (const consonant of CONSONANTS) {
    for (const vowel of VOWELS) syllables.push(consonant + vowel);
  }
  for (const first of syllables) {
    for (const second of syllables) {
      for (const third of syllables) yield ` ${first}${second}${third}`;
    }
  }
}
