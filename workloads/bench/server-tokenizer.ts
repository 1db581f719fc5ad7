import { openAgent, ServerAnswerError } from '../server-answer.js';
import { detokenize, tokenize } from '../server-api.js';
import type { Target } from '../target.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';

const CONCURRENCY = 8;
const PROBE_TEXT = 'a';
const LARGEST_VOCABULARY = 2 ** 21;
/** How far down added tokens are looked for, and in what portions. */
const MAX_ADDED_TOKENS = 4096;
const PORTION = 64;
/** Special tokens of several families stand at the very beginning of the vocabulary. */
const LEADING_IDS = 16;
const LOOKS_SPECIAL = /^(?:<.+>|\[.+\])$/s;

/**
 * The server's own tokenizer through /tokenize and /detokenize. Those do not tell the vocabulary's size: it is found
 * by asking which ids have a text, and added tokens (`<|im_start|>`, ...) at its end are left out.
 * @throws ServerUnreachableError; ServerAnswerError where the server offers no tokenizer.
 */
export async function openServerTokenizer(target: Target, signal: AbortSignal): Promise<PromptTokenizer> {
  const agent = await openAgent(target, CONCURRENCY);
  const encode = (text: string, addSpecialTokens: boolean): Promise<number[]> =>
    tokenize(target, text, { addSpecialTokens, signal, agent });
  const decode = (ids: readonly number[]): Promise<string> => detokenize(target, ids, { signal, agent });
  try {
    const [plain, wrapped] = await Promise.all([encode(PROBE_TEXT, false), encode(PROBE_TEXT, true)]);
    const probe = new VocabularyProbe(plain, encode, decode);
    const { vocabSize, specialIds } = await probe.measure();
    return {
      name: 'server',
      vocabSize,
      specialIds,
      addedIds: [],
      addedTokens: wrapped.length - plain.length,
      concurrency: CONCURRENCY,
      decode,
      encode: (text) => encode(text, false),
      close: async () => {
        agent.destroy();
      },
    };
  } catch (error) {
    agent.destroy();
    throw error;
  }
}

class VocabularyProbe {
  readonly #anchor: readonly number[];
  readonly #encode: (text: string, addSpecialTokens: boolean) => Promise<number[]>;
  readonly #decode: (ids: readonly number[]) => Promise<string>;

  constructor(
    anchor: readonly number[],
    encode: (text: string, addSpecialTokens: boolean) => Promise<number[]>,
    decode: (ids: readonly number[]) => Promise<string>,
  ) {
    this.#anchor = anchor;
    this.#encode = encode;
    this.#decode = decode;
  }

  async measure(): Promise<{ vocabSize: number; specialIds: ReadonlySet<number> }> {
    const size = await this.#sizeWithAdded();
    let vocabSize = size;
    while (vocabSize > 0 && size - vocabSize < MAX_ADDED_TOKENS) {
      const ids = Array.from({ length: Math.min(PORTION, vocabSize) }, (_, index) => vocabSize - 1 - index);
      const special = await this.#areSpecial(ids);
      const ordinary = special.indexOf(false);
      vocabSize -= ordinary < 0 ? ids.length : ordinary;
      if (ordinary >= 0) {
        break;
      }
    }
    const leading = Array.from({ length: Math.min(LEADING_IDS, vocabSize) }, (_, index) => index);
    const special = await this.#areSpecial(leading);
    return { vocabSize, specialIds: new Set(leading.filter((id) => special[id])) };
  }

  /** One more than the largest id that has a text. */
  async #sizeWithAdded(): Promise<number> {
    let known = 0;
    let unknown = 1024;
    while (await this.#hasText(unknown)) {
      known = unknown;
      unknown *= 2;
      if (unknown > LARGEST_VOCABULARY) {
        throw new ServerAnswerError(`POST /detokenize gives a text even for the id ${known}.`, 200);
      }
    }
    while (unknown - known > 1) {
      const middle = (known + unknown) >> 1;
      if (await this.#hasText(middle)) {
        known = middle;
      } else {
        unknown = middle;
      }
    }
    return unknown;
  }

  /** Behind the anchor, or a token that is only a leading space would seem empty. */
  async #textOf(id: number): Promise<string> {
    try {
      const text = await this.#decode([...this.#anchor, id]);
      return text.startsWith(PROBE_TEXT) ? text.slice(PROBE_TEXT.length) : text;
    } catch (error) {
      if (error instanceof ServerAnswerError) {
        return '';
      }
      throw error;
    }
  }

  async #hasText(id: number): Promise<boolean> {
    return (await this.#textOf(id)) !== '';
  }

  #areSpecial(ids: readonly number[]): Promise<boolean[]> {
    return Promise.all(
      ids.map(async (id) => {
        const text = (await this.#textOf(id)).trim();
        if (!LOOKS_SPECIAL.test(text)) {
          return false;
        }
        const encoded = await this.#encode(text, false);
        return encoded.length === 1 && encoded[0] === id;
      }),
    );
  }
}
