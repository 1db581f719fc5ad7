import { PythonRandom } from './python-random.js';

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

const PRE_WARM_PROMPTS = 5;
const PRE_WARM_LENGTH = 1000;
const MISS_NUMBER_LIMIT = 10_000_000;

const words = (count: number): string => new Array<string>(count).fill('hi').join(' ');

/**
 * The prompts of LMCache's long_doc_qa: one generator, seeded once, shuffles and then draws the numbers of the misses.
 * @throws RangeError for a count that is not a whole number of at least 1, or a ratio of nothing.
 */
export function prepareLongDocQa(options: LongDocQaPlanOptions): LongDocQaPlan {
  const documentLength = wholeCount('documentLength', options.documentLength ?? 20_000);
  const numDocuments = wholeCount('numDocuments', options.numDocuments ?? 8);
  const repeatCount = wholeCount('repeatCount', options.repeatCount ?? 2);
  const random = new PythonRandom(options.shuffleSeed ?? 0);
  const body = words(documentLength);
  const documents = Array.from({ length: numDocuments }, (_, index) => `${index} ${body}`);
  const repeated = repeatPrompts(documents, repeatCount, options.repeatMode ?? 'random', random);
  return {
    preWarm: Array.from({ length: PRE_WARM_PROMPTS }, (_, index) => `${index}xx${words(PRE_WARM_LENGTH)}`),
    documents,
    queries: withMisses(repeated, options.hitMissRatio ?? null, random),
  };
}

function repeatPrompts(
  documents: readonly string[],
  repeatCount: number,
  mode: RepeatMode,
  random: PythonRandom,
): string[] {
  if (mode === 'interleave') {
    return documents.flatMap((document) => new Array<string>(repeatCount).fill(document));
  }
  const repeated = new Array<readonly string[]>(repeatCount).fill(documents).flat();
  if (mode === 'random') {
    random.shuffle(repeated);
  }
  return repeated;
}

function withMisses(
  prompts: readonly string[],
  ratio: { readonly hit: number; readonly miss: number } | null,
  random: PythonRandom,
): LongDocQaPlan['queries'] {
  if (ratio === null) {
    return prompts.map((prompt) => ({ prompt, isMiss: false }));
  }
  const { hit, miss } = ratio;
  const period = hit + miss;
  if (!Number.isInteger(hit) || !Number.isInteger(miss) || hit < 0 || miss < 0 || period === 0) {
    throw new RangeError(`A hit-miss ratio is two whole numbers such as 3:1, not "${hit}:${miss}".`);
  }
  return prompts.map((prompt, index) =>
    index % period < hit
      ? { prompt, isMiss: false }
      : { prompt: `${random.randint(-MISS_NUMBER_LIMIT, MISS_NUMBER_LIMIT)} ${prompt}`, isMiss: true },
  );
}

function wholeCount(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name} must be a whole number of at least 1, not "${value}".`);
  }
  return value;
}
