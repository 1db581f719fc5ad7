import { isRecord, type JsonObject } from '../../json-value.js';
import type { TextSplit } from './split-pattern.js';

/** Tokens and their ids. */
export type VocabularyEntries = readonly (readonly [string, number])[];

export interface ByteLevelFile {
  readonly isNormalized: boolean;
  /** One after the other. */
  readonly splits: readonly TextSplit[];
  readonly vocabulary: Readonly<Record<string, number>>;
  /** The same. */
  readonly tokens: VocabularyEntries;
  readonly merges: readonly (readonly [string, string])[];
  /** A piece that is a token as it stands is not merged together. */
  readonly ignoreMerges: boolean;
  readonly addedTokens: readonly { readonly id: number; readonly content: string; readonly isNormalized: boolean }[];
}

/**
 * What a tokenizer.json consists of whose every part is one that a byte-level BPE in the manner of GPT-2 has; null: it
 * is of another kind.
 * @param vocabulary its `model.vocab` @param tokens the same
 */
export function readByteLevelFile(
  tokenizer: JsonObject,
  config: JsonObject,
  vocabulary: Readonly<Record<string, number>>,
  tokens: VocabularyEntries,
): ByteLevelFile | null {
  const { normalizer, decoder, model } = tokenizer;
  const splits = readSplits(tokenizer['pre_tokenizer']);
  const merges = isRecord(model) && isPlainBpe(model) ? readMerges(model['merges']) : null;
  const addedTokens = readAddedTokens(tokenizer['added_tokens'] ?? [], normalizer !== null);
  const fits =
    (normalizer === null || isOfType(normalizer, 'NFC')) &&
    isOfType(decoder, 'ByteLevel') &&
    isOff(config['remove_space']) &&
    isOff(config['do_lowercase_and_remove_accent']);
  if (!fits || splits === null || merges === null || addedTokens === null) {
    return null;
  }
  return {
    isNormalized: normalizer !== null,
    splits,
    vocabulary,
    tokens,
    merges,
    ignoreMerges: isRecord(model) && model['ignore_merges'] === true,
    addedTokens,
  };
}

/** A step that turns text into bytes, behind which nothing may cut it up any more, and the patterns before it. */
function readSplits(preTokenizer: unknown): TextSplit[] | null {
  const given = isOfType(preTokenizer, 'Sequence') ? preTokenizer['pretokenizers'] : [preTokenizer];
  const steps: readonly unknown[] = Array.isArray(given) ? given : [];
  const last = steps.at(-1);
  if (!isOfType(last, 'ByteLevel') || !isOff(last['add_prefix_space']) || !isSwitch(last['use_regex'])) {
    return null;
  }
  const splits: TextSplit[] = [];
  for (const step of steps.slice(0, -1)) {
    if (!isOfType(step, 'Split') || step['behavior'] !== 'Isolated' || !isOff(step['invert'])) {
      return null;
    }
    const { pattern } = step;
    if (!isRecord(pattern) || typeof pattern['Regex'] !== 'string' || Object.keys(pattern).length > 1) {
      return null;
    }
    splits.push({ regex: pattern['Regex'] });
  }
  return last['use_regex'] === false ? splits : [...splits, 'gpt-2'];
}

function isPlainBpe(model: JsonObject): boolean {
  const { dropout, ignore_merges: ignoreMerges } = model;
  const affixes = ['continuing_subword_prefix', 'continuing_subword_suffix', 'end_of_word_suffix'];
  return (
    (model['type'] ?? 'BPE') === 'BPE' &&
    (dropout ?? 0) === 0 &&
    affixes.every((name) => (model[name] ?? '') === '') &&
    isOff(model['byte_fallback']) &&
    (ignoreMerges === null || isSwitch(ignoreMerges))
  );
}

function readMerges(merges: unknown): [string, string][] | null {
  const pairs = Array.isArray(merges) ? merges.map(pairOf) : [null];
  const whole = pairs.filter((pair) => pair !== null);
  return whole.length === pairs.length ? whole : null;
}

/** `["a", "b"]`, in older files `"a b"`. */
function pairOf(merge: unknown): [string, string] | null {
  const [left, right, ...more]: unknown[] =
    typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
  return typeof left === 'string' && typeof right === 'string' && more.length === 0 ? [left, right] : null;
}

function readAddedTokens(added: unknown, isNormalizing: boolean): ByteLevelFile['addedTokens'] | null {
  const tokens: { id: number; content: string; isNormalized: boolean }[] = [];
  for (const token of Array.isArray(added) ? added : [null]) {
    const flags = ['single_word', 'lstrip', 'rstrip'];
    if (!isRecord(token) || !flags.every((name) => isOff(token[name]))) {
      return null;
    }
    const { id, content, normalized, special } = token;
    const isWhole = typeof id === 'number' && Number.isSafeInteger(id) && id >= 0;
    if (!isWhole || typeof content !== 'string' || content === '' || !isSwitch(normalized) || !isSwitch(special)) {
      return null;
    }
    tokens.push({ id, content, isNormalized: isNormalizing && (normalized ?? special !== true) });
  }
  return tokens;
}

function isOfType(value: unknown, type: string): value is JsonObject {
  return isRecord(value) && value['type'] === type;
}

function isOff(value: unknown): boolean {
  return value === undefined || value === false;
}

function isSwitch(value: unknown): value is boolean | undefined {
  return value === undefined || typeof value === 'boolean';
}
