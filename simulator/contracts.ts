/**
 * The seams inside the simulator: the engine (scheduler, HTTP) on one side, the parts that know about
 * hardware, text and the cache tier on the other. Times are simulated seconds unless a name says otherwise.
 */

/** A part of one prompt that is computed in one engine step. */
export interface PrefillChunk {
  /** Prompt tokens computed in this step. */
  readonly newTokens: number;
  /** Tokens of the same sequence whose KV is there already (earlier chunks and cache hits). */
  readonly contextTokens: number;
  /** 0: one word again and again, which lets the GPU run cool; 1, as if left out: text. */
  readonly variety?: number;
}

/** A running sequence that gets its next token in this step. */
export interface DecodeSlot {
  /** Tokens of the sequence whose KV is read. */
  readonly contextTokens: number;
}

export interface EngineStep {
  readonly prefills: readonly PrefillChunk[];
  readonly decodes: readonly DecodeSlot[];
  /** How long the steps before this one have computed prompts without a pause: power limits then slow the GPU. */
  readonly sustainedPrefillSeconds?: number;
}

/** What the API process does with one request, in seconds, one after the other. */
export interface ApiSeconds {
  /** Its event loop reads one request at a time. */
  readonly reading: number;
  /** One thread tokenises, and one hashes blocks, one request at a time. */
  readonly tokenising: number;
  /** Of this the requests' parts overlap. */
  readonly rest: number;
}

/** Physical times of one model on one GPU with one set of kernels. */
export interface StepTimeModel {
  /** Prefill without a pause for longer than this is as slow as it gets. */
  readonly warmUpSeconds: number;
  /** Duration of one engine step. */
  stepSeconds(step: EngineStep): number;
  /** From the begin of a step until its kernels are launched; then the engine asks which loads have ended. */
  launchSeconds(step: EngineStep): number;
  /**
   * Time of one request outside the engine's steps before it can be scheduled. Repeated tokens are cheaper (tokenizers
   * remember words).
   * @param distinctTokens different tokens of the prompt; null for one that came as ids, which nobody tokenises.
   */
  apiSeconds(promptTokens: number, distinctTokens: number | null): ApiSeconds;
  /** Time in which the scheduler looks a request up in the cache tier, and locks what it holds; no step runs meanwhile. */
  lookupSeconds(hitTokens: number): number;
  /** Share by which tokenising takes longer for one request and shorter for another. */
  readonly apiScatter: number;
  /** Time from the end of the step that made a token until the client has it. */
  readonly deliverySeconds: number;
  /** Bytes of KV cache one token takes over all GPUs. */
  readonly kvBytesPerToken: number;
  /** Bytes of the model's weights over all GPUs. */
  readonly weightBytes: number;
  /** Tokens the KV pool holds, a multiple of `blockTokens`; an Error if the model does not fit. */
  kvPoolTokens(options: { readonly gpuMemoryUtilization: number; readonly tensorParallelSize: number }): number;
}

export interface StepTimeOptions {
  /** The engine runs with a KV connector (slightly slower steps, a lookup for each request). */
  readonly connector: boolean;
  readonly tensorParallelSize?: number;
  /** Without CUDA graphs the host launches every kernel of a step. */
  readonly eager?: boolean;
  /** Choosing a step overlaps the one before; off, as in the recordings, if left out. */
  readonly asyncScheduling?: boolean;
}

export interface ModelShape {
  readonly name: string;
  readonly layers: number;
  readonly attentionHeads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly vocabularySize: number;
  /** Parameters of the layers' matrix multiplications. */
  readonly layerParameters: number;
  /** Input and output embeddings are one matrix. */
  readonly tiedEmbeddings?: boolean;
  /** 2 if left out; 1 for FP8, which is computed at the speed of 16 bits here: no recording has its kernels. */
  readonly bytesPerLayerWeight?: number;
  readonly kvBytesPerToken: number;
  readonly maxModelLen: number;
}

export interface CacheTransferRates {
  /** Host memory to GPU, bytes a second. */
  readonly loadBytesPerSecond: number;
  /** GPU to host memory, bytes a second. */
  readonly storeBytesPerSecond: number;
  /** Share by which one load takes longer and another less. */
  readonly loadScatter: number;
  /** Share by which a load takes longer while the engine computes for others. */
  readonly loadSlowdownBesideSteps: number;
  /** Fixed part of one load. */
  readonly loadOverheadSeconds: number;
}

export interface Profile {
  readonly name: string;
  readonly gpu: string;
  readonly gpuMemoryGiB: number;
  readonly engineVersion: string;
  readonly lmcacheVersion: string;
  /** How the kernels choose their reductions; the profile decides, not VLLM_BATCH_INVARIANT. */
  readonly kernels: 'default' | 'batch-invariant';
  readonly models: readonly ModelShape[];
  readonly blockTokens: number;
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  /** From the start of the process until /health answers 200. */
  readonly loadSeconds: { readonly engine: number; readonly lmcacheServer: number };
  readonly transfer: CacheTransferRates;
  /** The model's shape; an unknown model is an Error that lists the known ones. */
  model(modelName: string): ModelShape;
  /** @param model a known name, or the shape itself. */
  stepTime(model: string | ModelShape, options: StepTimeOptions): StepTimeModel;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  /** True for the one made by this project: token boundaries then differ from the real model's. */
  readonly builtIn: boolean;
  /** One line for the log: where it comes from. */
  readonly label: string;
  readonly eosTokenId: number;
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): readonly number[];
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /** Token ids of a conversation, with the opening of the assistant's turn. */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: { readonly addGenerationPrompt?: boolean },
  ): readonly number[];
  /** What one token adds to a running text; joined texts of generated tokens equal their decode. */
  tokenText(id: number): string;
  /** The vocabulary entry as /tokenize's token_strs shows it. */
  tokenString(id: number): string;
}

export interface TokenizerSource {
  /** `--tokenizer DIR`, or null. */
  readonly tokenizerDir: string | null;
  readonly model: string;
  /** Root of the Hugging Face cache, or null for the default one. */
  readonly hfHome: string | null;
  /** Vocabulary of the built-in tokenizer. */
  readonly vocabularySize: number;
}

export interface SamplingKey {
  readonly temperature: number;
  readonly seed: number | null;
  /** Tells the sequences of one request (n > 1) apart. */
  readonly sequence: number;
  /** Changes the text; used by the fault that returns wrong text from the cache. */
  readonly salt?: number;
}

/** The answer to one prompt: any position can be asked at any time, so preemption and batching cannot change it. */
export interface TokenStream {
  /** Token id at a position of the answer, from 0. */
  tokenAt(position: number): number;
  /** Position at which the model would say EOS (unless the request ignores it). */
  readonly length: number;
}

export interface TextGenerator {
  stream(promptIds: readonly number[], key: SamplingKey): TokenStream;
}

/** What became of one GPU block between its allocation and its next one, simulated seconds. */
export interface BlockAge {
  readonly lifetime: number;
  /** Since it was last taken into use. */
  readonly idle: number;
  /** Between the times it was taken into use again. */
  readonly reuseGaps: readonly number[];
}

/** Takes the ages of GPU blocks. */
export interface BlockReports {
  /** Part of the blocks that is asked for, from 0 to 1. */
  sampleRate(): number;
  report(ages: readonly BlockAge[]): void;
}

/** The engine's side of the LMCache tier. */
export interface LmcacheConnector {
  /** Tokens of the prompt the cache tier holds: a multiple of the chunk, capped at tokens - 1. 0 when the server is gone. */
  lookup(tokenIds: readonly number[]): Promise<number>;
  /**
   * Starts the copy of tokens [localTokens, hitTokens) into the GPU.
   * `seconds`: simulated time from now until it has ended, waiting behind other loads included.
   * `loadedTokens`: hitTokens, or localTokens when the data is gone (the engine recomputes then).
   * `failed`: the request is to end with an error after `seconds`, because nobody answered; false if left out.
   * @param at simulated time of the engine at which the load starts; the clock's present if left out.
   * @param besideSteps the engine computes for others meanwhile, which slows the copy; false if left out.
   */
  load(
    tokenIds: readonly number[],
    hitTokens: number,
    localTokens?: number,
    at?: number,
    besideSteps?: boolean,
  ): Promise<{ readonly seconds: number; readonly loadedTokens: number; readonly failed?: boolean }>;
  /**
   * Simulated seconds that lookups held up the whole engine since the last call: vLLM's scheduler waits for each, and a server
   * that has died lets it wait until lmcache.mp.mq_timeout is over. Later lookups are not even sent.
   */
  takeBlockedSeconds?(): number;
  /** Stores the full chunks of tokenIds[fromToken ...] that the server lacks; returns at once. */
  store(tokenIds: readonly number[], fromToken: number): void;
  /** Of a cache server that shows the ages of GPU blocks. */
  readonly blockReports?: BlockReports;
  readonly chunkTokens: number;
  /** The engine computes nothing while it loads (an engine's own LMCache); else others run beside it. */
  readonly loadsBlock: boolean;
  /** Chunks that end in the answer are stored too. */
  readonly storesDecoded: boolean;
  close(): Promise<void>;
}

/** Simulated seconds since the process started. */
export interface SimulatedClock {
  now(): number;
}
