import type { TokenStream } from '../contracts.js';
import { BlockHashChain } from './block-hash.js';

export type FinishReason = 'stop' | 'length' | 'abort' | 'error';

export interface SequenceOptions {
  readonly promptIds: readonly number[];
  /** Tokens after which the answer ends with `length`. */
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly eosTokenId: number;
  /** The prompt came as token ids, so that nothing was tokenised. */
  readonly cameAsIds?: boolean;
  /** How the log names the request. */
  readonly requestId?: string;
  /** false: every token of the prompt is computed, for its log probability; true if left out. */
  readonly readsCaches?: boolean;
  /** Made when the first token is due, because the text may depend on where the prompt's KV came from. */
  readonly openStream: (facts: { readonly externalHitTokens: number }) => TokenStream;
}

/** Where a sequence stands with the cache tier behind the connector. */
export type RemoteState =
  | { readonly kind: 'unasked' }
  | { readonly kind: 'asked' }
  /** `unspentSeconds`: what the scheduler has still to spend on the lookup before it may act on it. */
  | { readonly kind: 'answered'; readonly hitTokens: number; readonly unspentSeconds: number }
  /** `dueAt` null: the connector has not said yet how long the load takes. */
  | {
      readonly kind: 'loading';
      readonly dueAt: number | null;
      readonly hitTokens: number;
      readonly loadedTokens: number;
    }
  | { readonly kind: 'done' };

/** Simulated times of one sequence, NaN until they are known. */
export interface SequenceTimes {
  arrival: number;
  /** When the scheduler could see it. */
  queued: number;
  scheduled: number;
  firstToken: number;
  lastToken: number;
}

/** Of different tokens, in what is text to the GPU; long prose has more than twice as many. */
const LEAST_SHARE_OF_TEXT = 0.1;

let nextNumber = 0;

/** One prompt and the answer that grows from it: the scheduler's unit. */
export class Sequence {
  readonly number: number;
  readonly promptIds: readonly number[];
  readonly outputIds: number[] = [];
  readonly options: SequenceOptions;
  readonly times: SequenceTimes = {
    arrival: Number.NaN,
    queued: Number.NaN,
    scheduled: Number.NaN,
    firstToken: Number.NaN,
    lastToken: Number.NaN,
  };
  /** Blocks in the order of the tokens they hold. */
  blocks: number[] = [];
  /** How many of them the prefix cache knows. */
  registeredBlocks = 0;
  /** Tokens whose KV is there, or will be when the running step ends. */
  computedTokens = 0;
  /** Tokens handed to the connector for storing. */
  storedTokens = 0;
  localHitTokens = 0;
  externalHitTokens = 0;
  /** True once the prefix-cache counters have counted it. */
  counted = false;
  preemptions = 0;
  remote: RemoteState = { kind: 'unasked' };
  finished: FinishReason | null = null;
  readonly #chain: BlockHashChain;
  #stream: TokenStream | null = null;
  #distinctTokens: number | null = null;

  constructor(options: SequenceOptions, blockTokens: number) {
    nextNumber += 1;
    this.number = nextNumber;
    this.options = options;
    this.promptIds = options.promptIds;
    this.#chain = new BlockHashChain(blockTokens);
  }

  /** Prompt and answer so far. */
  get totalTokens(): number {
    return this.promptIds.length + this.outputIds.length;
  }

  /** Different tokens of the prompt. */
  get distinctTokens(): number {
    this.#distinctTokens ??= new Set(this.promptIds).size;
    return this.#distinctTokens;
  }

  /** Of the prompt: 0 for one word again and again, 1 for text. */
  get variety(): number {
    return Math.min(1, this.distinctTokens / this.promptIds.length / LEAST_SHARE_OF_TEXT);
  }

  get cachedTokens(): number {
    return this.localHitTokens + this.externalHitTokens;
  }

  tokenAt(position: number): number {
    const prompt = this.promptIds.length;
    return (position < prompt ? this.promptIds[position] : this.outputIds[position - prompt]) ?? 0;
  }

  /** Prompt and answer as one list. */
  allTokens(): readonly number[] {
    return this.outputIds.length === 0 ? this.promptIds : [...this.promptIds, ...this.outputIds];
  }

  /** Prefix keys of all full blocks of prompt and answer. */
  blockKeys(): readonly number[] {
    this.#chain.extend(this.totalTokens, (position) => this.tokenAt(position));
    return this.#chain.keys;
  }

  /** Appends the next token and ends the sequence where the model, or the limits, end it. */
  sample(maxModelLen: number): number {
    this.#stream ??= this.options.openStream({ externalHitTokens: this.externalHitTokens });
    const position = this.outputIds.length;
    const { maxTokens, minTokens, ignoreEos, eosTokenId } = this.options;
    const ends = !ignoreEos && position >= this.#stream.length && position >= minTokens;
    const token = ends ? eosTokenId : this.#stream.tokenAt(position);
    this.outputIds.push(token);
    if (ends) this.finished = 'stop';
    else if (this.outputIds.length >= maxTokens || this.totalTokens >= maxModelLen) this.finished = 'length';
    return token;
  }
}
