export type EngineKind = 'baseline' | 'lmcache';

/** TTFT of prompts of random tokens, each alone on an idle engine. */
export interface TtftCase {
  readonly kind: 'ttft';
  readonly engine: EngineKind;
  /** Prompts were sent as token ids; false if left out. */
  readonly cameAsIds?: boolean;
  /** Where the cached part came from. */
  readonly cachedIn: 'none' | 'gpu' | 'lmcache';
  /** At least one, as they were recorded: prompts of one length differ by some tokens. */
  readonly repetitions: readonly TtftRepetition[];
}

export interface TtftRepetition {
  readonly promptTokens: number;
  /** null: the server did not tell. */
  readonly cachedTokens: number | null;
  readonly seconds: number;
}

/** One decode step with all sequences running. */
export interface StepCase {
  readonly kind: 'step';
  readonly engine: EngineKind;
  readonly batch: number;
  readonly contextTokens: number;
  readonly seconds: number;
}

/** One request of a workload, with what was measured of it (seconds since the round's start). */
export interface RecordedRequest {
  readonly prompt: string;
  readonly start: number;
  readonly ttft: number;
  readonly end: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** A whole round of a workload. */
export interface RoundCase {
  readonly kind: 'round';
  readonly engine: EngineKind;
  readonly workload: 'longdoc-warmup' | 'longdoc-query' | 'bench';
  /** Rounds of one folder ran one after the other on one server. */
  readonly folder: string;
  readonly requests: readonly RecordedRequest[];
}

/** Prompts of random tokens that came at given times, on a server that held none of them. */
export interface ArrivalsCase {
  readonly kind: 'arrivals';
  readonly engine: EngineKind;
  /** What kind of arrivals: `poisson`. */
  readonly name: string;
  readonly requests: readonly RecordedRequest[];
}

export type RecordedCase = TtftCase | StepCase | RoundCase | ArrivalsCase;
