import type { SamplingKey, TextGenerator, Tokenizer, TokenStream } from './contracts.js';
import { ADJECTIVES, ADVERBS, DETERMINERS, NOUNS, OPENERS, PREPOSITIONS, VERBS } from './tokenizer/english-words.js';

/** Answers without a limit end somewhere in this range, as a model's would. */
const SHORTEST_ANSWER = 512;
const LONGEST_ANSWER = 1024;
/** Fewer single-token words than this of one kind: the vocabulary is too foreign for sentences. */
const MINIMUM_WORDS = 4;

type Slot = readonly number[];

/**
 * Answers as readable sentences, one token a word. The token at a position is a pure function of the prompt's
 * ids, the seed (only above temperature 0) and the position, so batching, preemption and caching cannot change it.
 */
export function createTextGenerator(tokenizer: Tokenizer): TextGenerator {
  const sentence = sentenceSlots(tokenizer);
  return {
    stream: (promptIds, key) => createStream(sentence, hashIds(promptIds), key),
  };
}

function createStream(sentence: readonly Slot[], promptHash: number, key: SamplingKey): TokenStream {
  const seed = key.temperature > 0 ? (key.seed ?? 0) : 0;
  const chosenByTemperature = key.temperature > 0 ? mix(Math.round(key.temperature * 1000)) : 0;
  let state = mix(promptHash ^ mix(seed) ^ chosenByTemperature);
  if (key.temperature > 0) state = mix(state + key.sequence + 1);
  if (key.salt !== undefined) state = mix(state ^ mix(key.salt + 0x51ed));
  return {
    tokenAt(position) {
      const slot = sentence[position % sentence.length] ?? [];
      return slot[mix(state ^ mix(position + 1)) % slot.length] ?? 0;
    },
    length: SHORTEST_ANSWER + (mix(state + 0x9e37) % (LONGEST_ANSWER - SHORTEST_ANSWER)),
  };
}

/** " The old farmer slowly walks across the green field." with every word a single token. */
function sentenceSlots(tokenizer: Tokenizer): readonly Slot[] {
  const single = (words: readonly string[], prefix = ' '): Slot =>
    words.flatMap((word) => {
      const ids = tokenizer.encode(prefix + word, { addSpecialTokens: false });
      const [id] = ids;
      return ids.length === 1 && id !== undefined && tokenizer.tokenText(id) === prefix + word ? [id] : [];
    });
  const determiners = single(DETERMINERS);
  const adjectives = single(ADJECTIVES);
  const nouns = single(NOUNS);
  const slots = [
    single(OPENERS),
    adjectives,
    nouns,
    single(ADVERBS),
    single(VERBS),
    single(PREPOSITIONS),
    determiners,
    adjectives,
    nouns,
    single(['.'], ''),
  ];
  const sentences = slots.slice(0, -1).every((slot) => slot.length >= MINIMUM_WORDS) && slots.at(-1)?.length === 1;
  return sentences ? slots : [plainWords(tokenizer)];
}

/** For vocabularies without those words: any entries that are plain words. */
function plainWords(tokenizer: Tokenizer): Slot {
  const ids: number[] = [];
  for (let id = 0; id < tokenizer.vocabSize && ids.length < 2000; id += 1) {
    if (/^ [a-z]{2,}$/.test(tokenizer.tokenText(id))) ids.push(id);
  }
  if (ids.length > 0) return ids;
  return Array.from({ length: Math.min(tokenizer.vocabSize, 256) }, (_, id) => id).filter(
    (id) => id !== tokenizer.eosTokenId && tokenizer.tokenText(id) !== '',
  );
}

/** 32-bit FNV-1a over token ids. */
function hashIds(ids: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193);
  return hash >>> 0;
}

/** Finaliser of MurmurHash3: every input bit changes every output bit with even odds. */
function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
