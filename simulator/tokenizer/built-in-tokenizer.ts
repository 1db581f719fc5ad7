import type { ChatMessage, Tokenizer } from '../contracts.js';
import { type Vocabulary, vocabularyOfSize } from './vocabulary.js';

/** Pre-tokenisation of Qwen2 and Qwen3 (the `Split` pattern of their tokenizer.json). */
const PIECES =
  /'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/giu;
const SPECIAL = /(<\|[a-z_]+\|>|<\/?(?:think|tool_call|tool_response)>)/;

const utf8Encoder = new TextEncoder();

/**
 * A byte-level tokenizer of this project's own making, for machines without the model's files.
 * Any Unicode text survives encode and decode; token boundaries are not the real model's.
 * @param vocabularySize number of ids, e.g. 151,936 for Qwen3.
 */
export function createBuiltInTokenizer(vocabularySize: number): Tokenizer {
  const vocabulary = vocabularyOfSize(vocabularySize);
  return {
    vocabSize: vocabularySize,
    builtIn: true,
    label: `built-in (${vocabularySize} entries, made by lmcache-ci; not the model's own)`,
    eosTokenId: vocabulary.specialIdOf.get('<|im_end|>') ?? vocabulary.firstSpecialId,
    encode: (text) => encode(vocabulary, text),
    decode: (ids, options) => decode(vocabulary, ids, options?.skipSpecialTokens ?? false),
    applyChatTemplate: (messages, options) =>
      encode(vocabulary, renderQwen3Chat(messages, options?.addGenerationPrompt ?? true)),
    tokenText: (id) => decode(vocabulary, [id], true),
    tokenString: (id) => tokenString(vocabulary, id),
  };
}

/** Qwen3's chat template for plain messages (no tools, thinking left on). */
export function renderQwen3Chat(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
  let text = '';
  for (const message of messages) text += `<|im_start|>${message.role}\n${message.content}<|im_end|>\n`;
  return addGenerationPrompt ? `${text}<|im_start|>assistant\n` : text;
}

function encode(vocabulary: Vocabulary, text: string): number[] {
  const ids: number[] = [];
  if (!text.includes('<')) {
    encodePlain(vocabulary, text, ids);
    return ids;
  }
  for (const part of text.split(SPECIAL)) {
    const specialId = vocabulary.specialIdOf.get(part);
    if (specialId !== undefined) ids.push(specialId);
    else if (part !== '') encodePlain(vocabulary, part, ids);
  }
  return ids;
}

function encodePlain(vocabulary: Vocabulary, text: string, ids: number[]): void {
  PIECES.lastIndex = 0;
  const { idOf } = vocabulary;
  for (const piece of text.match(PIECES) ?? []) {
    const id = idOf.get(piece);
    if (id !== undefined) ids.push(id);
    else encodeGreedily(vocabulary, piece, ids);
  }
}

/** Longest entry first; bytes of UTF-8 where no entry starts. */
function encodeGreedily(vocabulary: Vocabulary, piece: string, ids: number[]): void {
  let at = 0;
  while (at < piece.length) {
    const longest = vocabulary.longestFrom(piece.charCodeAt(at), piece.charCodeAt(at + 1));
    let length = Math.min(longest, piece.length - at);
    let id: number | undefined;
    for (; length > 1; length -= 1) {
      id = vocabulary.idOf.get(piece.slice(at, at + length));
      if (id !== undefined) break;
    }
    if (id !== undefined) {
      ids.push(id);
      at += length;
      continue;
    }
    const codePoint = piece.codePointAt(at) ?? 0;
    if (codePoint < 128) {
      ids.push(codePoint);
      at += 1;
    } else {
      const character = String.fromCodePoint(codePoint);
      for (const byte of utf8Encoder.encode(character)) ids.push(byte);
      at += character.length;
    }
  }
}

function decode(vocabulary: Vocabulary, ids: readonly number[], skipSpecialTokens: boolean): string {
  let text = '';
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    text += new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    bytes = [];
  };
  for (const id of ids) {
    if (id < 128 && bytes.length === 0) {
      text += String.fromCharCode(id);
    } else if (id < 256) {
      bytes.push(id);
    } else {
      flush();
      const entry = vocabulary.texts[id];
      if (entry !== undefined) text += entry;
      else if (!skipSpecialTokens) text += vocabulary.specialTextOf.get(id) ?? '';
    }
  }
  flush();
  return text;
}

/** Byte-level alphabet of GPT-2: a space shows as "Ġ", a line feed as "Ċ". */
function tokenString(vocabulary: Vocabulary, id: number): string {
  const special = vocabulary.specialTextOf.get(id);
  if (special !== undefined) return special;
  const bytes = id < 256 ? [id] : [...utf8Encoder.encode(vocabulary.texts[id] ?? '')];
  return bytes.map(printableByte).join('');
}

function printableByte(byte: number): string {
  const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  if (printable) return String.fromCharCode(byte);
  if (byte <= 32) return String.fromCharCode(256 + byte);
  if (byte <= 160) return String.fromCharCode(256 + 33 + byte - 127);
  return String.fromCharCode(256 + 67);
}
