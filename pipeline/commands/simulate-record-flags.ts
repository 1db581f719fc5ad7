import path from 'node:path';
import { parseEndpoint } from '../../workloads/endpoint.js';
import { type Arrivals, nameOfArrivals, type TokenRange } from '../../workloads/recording/record-arrivals.js';
import type { RecordedEngine } from '../../workloads/recording/recording-session.js';
import { didYouMean } from '../config/suggest.js';
import { UsageError } from '../usage-error.js';
import type { BenchFlags } from './bench-flags.js';
import { FlagProblems } from './flag-problems.js';

export const recordedParts = ['single', 'ids', 'decode', 'arrivals', 'longdoc'] as const;
export type RecordedPart = (typeof recordedParts)[number];

/** As flags; told in `--help`. */
export const recordDefaults = {
  url: 'http://127.0.0.1:8000',
  parts: 'single,decode,arrivals,longdoc',
  lengths: '500,1000,1500,2000,3000,4000,6000,8000,12000',
  repetitions: '5',
  pause: '0.5',
  batches: '1,2,4,8,16,32',
  'decode-prompt-tokens': '2000',
  'decode-output-tokens': '128',
  arrivals: 'poisson:2:40,burst:24',
  'arrival-prompt-tokens': '1000-6000',
  'arrival-output-tokens': '50-150',
  documents: '24',
  'document-length': '6000',
  'output-len': '100',
  'max-inflight-requests': '4',
  'repeat-count': '1',
} as const;

const LARGEST_SEED = 2 ** 32 - 1;
const ARRIVAL_FORMS = 'poisson:RATE:COUNT, e.g. poisson:2:40, or burst:COUNT, e.g. burst:24';

export interface RecordSettings {
  readonly url: string;
  readonly engine: RecordedEngine;
  /** Folder of the files. */
  readonly out: string;
  /** undefined: the first that the server lists. */
  readonly model: string | undefined;
  /** In the order in which they are recorded. */
  readonly parts: readonly RecordedPart[];
  readonly lengths: readonly number[];
  readonly repetitions: number;
  /** Seconds of the server's time. */
  readonly pauseSeconds: number;
  readonly batches: readonly number[];
  readonly decodePromptTokens: number;
  readonly decodeOutputTokens: number;
  readonly arrivals: readonly Arrivals[];
  readonly arrivalPromptTokens: TokenRange;
  readonly arrivalOutputTokens: TokenRange;
  readonly documents: number;
  readonly documentLength: number;
  readonly outputLen: number;
  readonly maxInflightRequests: number;
  readonly repeatCount: number;
  readonly seed: number;
}

/** @throws UsageError with everything that is wrong */
export function readRecordFlags(flags: BenchFlags): RecordSettings {
  const problems = new FlagProblems();
  const given = (name: keyof typeof recordDefaults): string => flags.text(name) ?? recordDefaults[name];
  const whole = (name: keyof typeof recordDefaults): number =>
    problems.read(() => wholeNumber(`--${name}`, given(name)), 1);
  const wholes = (name: keyof typeof recordDefaults): readonly number[] =>
    problems.read(
      () =>
        different(
          name,
          words(given(name)).map((text) => wholeNumber(`--${name}`, text)),
        ),
      [],
    );
  const range = (name: keyof typeof recordDefaults): TokenRange =>
    problems.read(() => tokenRange(name, given(name)), { min: 1, max: 1 });
  const settings: RecordSettings = {
    url: problems.read(() => serverUrl(given('url')), ''),
    engine: problems.read(() => readEngine(flags), 'baseline'),
    out: problems.read(() => path.normalize(flags.requiredText('out', 'the folder of the recordings')), ''),
    model: flags.text('model'),
    parts: problems.read(() => readParts(words(given('parts'))), []),
    lengths: wholes('lengths'),
    repetitions: whole('repetitions'),
    pauseSeconds:
      problems.read(() => flags.number('pause', { min: 0, max: 600 }), undefined) ?? Number(recordDefaults.pause),
    batches: wholes('batches'),
    decodePromptTokens: whole('decode-prompt-tokens'),
    decodeOutputTokens: whole('decode-output-tokens'),
    arrivals: problems.read(() => readArrivals(flags), []),
    arrivalPromptTokens: range('arrival-prompt-tokens'),
    arrivalOutputTokens: range('arrival-output-tokens'),
    documents: whole('documents'),
    documentLength: whole('document-length'),
    outputLen: whole('output-len'),
    maxInflightRequests: whole('max-inflight-requests'),
    repeatCount: whole('repeat-count'),
    seed: problems.read(() => readSeed(flags), 0),
  };
  problems.read(() => {
    if (settings.decodeOutputTokens < 3)
      throw new UsageError(
        `--decode-output-tokens must be at least 3, not "${settings.decodeOutputTokens}": a step is the time between two tokens.`,
      );
  }, undefined);
  problems.throwIfAny();
  return settings;
}

function words(text: string): readonly string[] {
  return text.split(',').map((word) => word.trim());
}

function wholeNumber(what: string, text: string): number {
  const value = Number(text || Number.NaN);
  if (Number.isSafeInteger(value) && value >= 1 && value <= 10_000_000) return value;
  throw new UsageError(`${what} must be a whole number from 1 to 10000000, not "${text}".`);
}

function different(name: string, values: readonly number[]): readonly number[] {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw new UsageError(`--${name} names "${twice}" twice; each is recorded once.`);
  return values;
}

function serverUrl(text: string): string {
  try {
    parseEndpoint(text);
  } catch {
    throw new UsageError(`--url must be a server's address such as http://127.0.0.1:8000, not "${text}".`);
  }
  return text.replace(/\/+$/, '').replace(/\/v1$/, '');
}

function readEngine(flags: BenchFlags): RecordedEngine {
  const text = flags.text('engine');
  if (text === 'lmcache' || text === 'baseline') return text;
  if (text === undefined) {
    throw new UsageError('--engine is missing: lmcache or baseline, for a vLLM with LMCache or without.');
  }
  throw new UsageError(`--engine must be lmcache or baseline, not "${text}".`);
}

function readParts(given: readonly string[]): readonly RecordedPart[] {
  for (const name of given) {
    if (recordedParts.some((part) => part === name)) continue;
    const meant = didYouMean(name, recordedParts);
    throw new UsageError(
      `--parts takes ${recordedParts.join(', ')} with commas between, not "${name}"${meant ? `; did you mean ${meant}?` : '.'}`,
    );
  }
  return recordedParts.filter((part) => given.includes(part));
}

/** Given once with commas between, or several times. */
function readArrivals(flags: BenchFlags): readonly Arrivals[] {
  const given = flags.list('arrivals');
  const texts = (given.length === 0 ? [recordDefaults.arrivals] : given).flatMap(words);
  const arrivals = texts.map((text): Arrivals => {
    const [kind, first = '', second, ...more] = text.split(':');
    if (
      more.length > 0 ||
      !['poisson', 'burst'].includes(kind ?? '') ||
      (kind === 'burst') !== (second === undefined)
    ) {
      throw new UsageError(`--arrivals takes ${ARRIVAL_FORMS}, not "${text}".`);
    }
    if (second === undefined) return { kind: 'burst', count: wholeNumber(`--arrivals: COUNT of "${text}"`, first) };
    const rate = Number(first || Number.NaN);
    if (!(rate > 0 && rate < Number.POSITIVE_INFINITY)) {
      throw new UsageError(`--arrivals: RATE of "${text}" must be requests a second, above 0, not "${first}".`);
    }
    return { kind: 'poisson', rate, count: wholeNumber(`--arrivals: COUNT of "${text}"`, second) };
  });
  const names = arrivals.map(nameOfArrivals);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`--arrivals: "${twice}" is there twice; each has a file of its own.`);
  return arrivals;
}

function tokenRange(name: string, text: string): TokenRange {
  const [, low = '', high = low] = /^(\d+)(?:-(\d+))?$/.exec(text.trim()) ?? [];
  if (low === '' || Number(low) < 1 || Number(high) < Number(low) || Number(high) > 10_000_000) {
    throw new UsageError(`--${name} must be MIN-MAX tokens, e.g. 1000-6000, or one number, not "${text}".`);
  }
  return { min: Number(low), max: Number(high) };
}

/** By default another one each time: a prompt that a cache holds from the last recording is not cold. */
function readSeed(flags: BenchFlags): number {
  const seed = flags.count('seed') ?? Date.now() % LARGEST_SEED;
  if (seed > LARGEST_SEED) throw new UsageError(`--seed must be at most ${LARGEST_SEED}, not "${seed}".`);
  return seed;
}
