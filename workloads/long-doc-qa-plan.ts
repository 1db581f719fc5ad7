/** How the query round repeats the documents. */
export type RepeatMode = 'random' | 'tile' | 'interleave';

/** What decides the prompts; defaults as in LMCache's long_doc_qa. */
export interface LongDocQaPlanOptions {
  /** Tokens ("hi") a document; default 20000. */
  readonly documentLength?: number;
  /** Default 8. */
  readonly numDocuments?: number;
  /** Default 2. */
  readonly repeatCount?: number;
  /** Default `random`. */
  readonly repeatMode?: RepeatMode;
  /** Seeds the shuffle and the numbers of the misses; default 0. */
  readonly shuffleSeed?: number;
  /** Of each `hit + miss` query prompts the last `miss` are made new; default: all hit. */
  readonly hitMissRatio?: { readonly hit: number; readonly miss: number };
}

export interface LongDocQaPlan {
  /** Unmeasured, ahead of everything. */
  readonly preWarm: readonly string[];
  readonly documents: readonly string[];
  readonly queries: readonly { readonly prompt: string; readonly isMiss: boolean }[];
}
