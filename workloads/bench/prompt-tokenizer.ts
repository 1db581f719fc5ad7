/** What `reencode` was given: the first `kept` ids, which it did not change, and behind them these. */
export interface Reencoding {
  readonly kept: number;
  readonly replaced: readonly number[];
}

/** Shortcuts of a tokenizer in this process. */
export interface DirectTokenizer {
  /**
   * `encode(decode(ids))`, written over the ids.
   * @param stable so many of the first ids came out of a call before
   */
  reencode(ids: number[], stable: number): Promise<Reencoding>;
  /** `decode(ids)` as a JSON string in UTF-8. */
  decodeToJson(ids: readonly number[]): Promise<Buffer>;
}

/** What the random data set needs of a tokenizer. */
export interface PromptTokenizer {
  /** A directory, or `server`. */
  readonly name: string;
  /** Ids of the base vocabulary: tokens added behind it do not count. */
  readonly vocabSize: number;
  /** Ids below `vocabSize` that must not be drawn. */
  readonly specialIds: ReadonlySet<number>;
  /** Ids of the tokens added to the base vocabulary; empty where that is not known. */
  readonly addedIds: readonly number[];
  /** How many tokens the tokenizer puts around a prompt. */
  readonly addedTokens: number;
  /** Calls that are worth having under way at once; 1 where the work is done in this process. */
  readonly concurrency: number;
  decode(ids: readonly number[]): Promise<string>;
  /** Without special tokens. */
  encode(text: string): Promise<number[]>;
  /** Where ids need not become a string on their way. */
  readonly direct?: DirectTokenizer;
  /** One user message in the model's chat template, ready for the answer; absent where there is no template. */
  renderChat?(message: string, variables: Readonly<Record<string, unknown>>): Promise<string>;
  close(): Promise<void>;
}
