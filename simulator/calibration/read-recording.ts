import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { mean, median } from './averages.js';
import type {
  ArrivalsCase,
  EngineKind,
  RecordedCase,
  RecordedRequest,
  RoundCase,
  StepCase,
  TtftCase,
  TtftRepetition,
} from './cases.js';

/** Prompt tokens of decode recordings without a column that says so. */
const DECODE_PROMPT_TOKENS = 2000;
/** What a file of each kind begins with. */
const KINDS = ['single', 'ids', 'decode', 'arrivals', 'longdoc', 'bench'] as const;
const RECORDING_NAME = new RegExp(`^(?:${KINDS.join('|')})-.*[.]csv(?:[.]gz)?$`);

type Row = Readonly<Record<string, string>>;

/** Whether a file of this name is a recording; a CSV of cases, which has any name, is not told so. */
export function isRecordingName(name: string): boolean {
  return RECORDING_NAME.test(name);
}

/**
 * Reads a recording by its name and columns: `single-*.csv`, `ids-*.csv`, `decode-*.csv`, `arrivals-*.csv`,
 * `longdoc-*.csv`, `bench-*.csv`, each also with `.gz`, or a CSV of cases:
 * `kind,engine,prompt_tokens,cached_in,cached_tokens,batch,context_tokens,ms`. Further columns are left alone.
 * @throws Error naming the file and what is wrong in it.
 */
export function readRecording(file: string): readonly RecordedCase[] {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const name = basename(file);
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const [head = '', ...body] = lines;
  const kind = KINDS.find((known) => name.startsWith(`${known}-`));
  if (body.length === 0) throw new Error(`"${file}" holds no recordings`);
  if (kind === 'decode') return decodeCases(engineOf(name, file), head, body, file);
  if (kind === undefined && !head.startsWith('kind,')) {
    throw new Error(
      `"${file}" is no recording: its name must begin with ${KINDS.map((known) => `${known}-`).join(', ')}, or its columns with kind`,
    );
  }
  const rows = body.map((line) => rowOf(head.split(','), line, file));
  switch (kind) {
    case undefined:
      return rows.map((row) => smallCase(row, file));
    case 'single':
    case 'ids':
      return ttftCases(rows, kind === 'ids', file);
    case 'arrivals':
      return [arrivalsCase(name, rows, file)].filter(hasRequests);
    default:
      return [roundCase(name, rows, file)].filter(hasRequests);
  }
}

function rowOf(columns: readonly string[], line: string, file: string): Row {
  const cells = line.split(',');
  if (cells.length !== columns.length)
    throw new Error(`"${file}": "${line.slice(0, 80)}" has not ${columns.length} cells`);
  return Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? '']));
}

function number(row: Row, column: string, file: string): number {
  const text = row[column];
  const value = Number(text);
  if (text === undefined || text === '' || !Number.isFinite(value) || value < 0) {
    throw new Error(`"${file}": "${text ?? ''}" in column "${column}" is not a number of at least 0`);
  }
  return value;
}

/** What a prediction is divided by. */
function duration(row: Row, column: string, file: string): number {
  const value = number(row, column, file);
  if (value === 0) throw new Error(`"${file}": "${row[column]}" in column "${column}" is no time that anything takes`);
  return value;
}

/** Servers that do not tell leave it empty. */
function cachedTokensOf(row: Row, promptTokens: number, file: string): number | null {
  if (row.cached_tokens === '') return null;
  const cached = number(row, 'cached_tokens', file);
  if (cached < promptTokens) return cached;
  throw new Error(`"${file}": "${cached}" in column "cached_tokens" is not less than the prompt's ${promptTokens}`);
}

function engineOf(text: string, file: string): EngineKind {
  if (text.includes('baseline')) return 'baseline';
  if (/lmcache|l2/.test(text)) return 'lmcache';
  throw new Error(`"${file}": "${text}" names neither engine, baseline or lmcache`);
}

function cacheOf(mode: string, file: string): TtftCase['cachedIn'] {
  if (mode === 'cold' || mode === 'none' || mode === '') return 'none';
  if (mode === 'gpu' || mode === 'lmcache') return mode;
  throw new Error(`"${file}": "${mode}" is no place of a cached prompt; known are none (cold), gpu and lmcache`);
}

function ttftCases(rows: readonly Row[], cameAsIds: boolean, file: string): readonly TtftCase[] {
  const groups = groupBy(
    rows.filter((row) => !row.error),
    (row) => `${row.engine} ${row.length} ${row.mode}`,
  );
  return groups.map((group) => ({
    kind: 'ttft',
    engine: engineOf(group[0]?.engine ?? '', file),
    ...(cameAsIds ? { cameAsIds } : {}),
    cachedIn: cacheOf(group[0]?.mode ?? '', file),
    repetitions: group.map((row) => repetitionOf(row, duration(row, 'ttft', file), file)),
  }));
}

function repetitionOf(row: Row, seconds: number, file: string): TtftRepetition {
  const promptTokens = number(row, 'prompt_tokens', file);
  return { promptTokens, cachedTokens: cachedTokensOf(row, promptTokens, file), seconds };
}

/**
 * The part of a batch in which all its streams run, by the times of their tokens: how many tokens a stream has there, on
 * average, and the median gap between two of them, which a client or a host that stood still for a moment does not move.
 */
export function steadyPart(streams: readonly (readonly number[])[]): { readonly tokens: number; readonly gap: number } {
  const from = Math.max(...streams.map((times) => times[0] ?? 0));
  const to = Math.min(...streams.map((times) => times.at(-1) ?? 0));
  const steady = streams.map((times) => times.filter((time) => time >= from && time <= to));
  const gaps = steady.flatMap((times) => times.slice(1).map((time, index) => time - (times[index] ?? 0)));
  return { tokens: mean(steady.map((times) => times.length)), gap: median(gaps) };
}

/** What is wrong with a batch whose steady part has no gap. */
export function crowdedTokens(batch: number): string {
  return `tokens of batch ${batch} came several at a time, or no two while all ran: record it anew, with more tokens and the client alone on its machine`;
}

/**
 * Each line a stream: batch, its number, its prompt's tokens where the third column is `prompt_tokens`, and the times of
 * its tokens in ms.
 */
function decodeCases(engine: EngineKind, head: string, lines: readonly string[], file: string): readonly StepCase[] {
  const saysPrompt = head.split(',')[2] === 'prompt_tokens';
  let round = 0;
  const streams = lines.map((line) => {
    const [batch = 0, stream = 0, ...cells] = line.split(',').map(Number);
    const promptTokens = saysPrompt ? (cells[0] ?? 0) : DECODE_PROMPT_TOKENS;
    const times = saysPrompt ? cells.slice(1) : cells;
    if (times.length < 2 || [batch, ...cells].some(Number.isNaN)) {
      throw new Error(`"${file}": a stream without token times`);
    }
    // Prompts of a batch may differ by some tokens; its stream 0 begins it.
    if (stream === 0) round += 1;
    return { batch, round, promptTokens, times };
  });
  return groupBy(streams, (stream) => String(stream.round)).map((all) => {
    const batch = all[0]?.batch ?? 0;
    const promptTokens = mean(all.map((stream) => stream.promptTokens));
    const { tokens, gap } = steadyPart(all.map(({ times }) => times));
    if (!(gap > 0)) throw new Error(`"${file}": ${crowdedTokens(batch)}`);
    return {
      kind: 'step',
      engine,
      batch,
      contextTokens: Math.round(promptTokens + tokens / 2),
      seconds: gap / 1000,
    };
  });
}

/** One of which all requests failed shows nothing. */
function hasRequests({ requests }: RoundCase | ArrivalsCase): boolean {
  return requests.length > 0;
}

function roundCase(name: string, rows: readonly Row[], file: string): RoundCase {
  const engine = engineOf(name, file);
  const bench = name.startsWith('bench-');
  const requests = bench ? requestsOf(rows, BENCH_COLUMNS, file) : requestsOf(rows, LONGDOC_COLUMNS, file);
  const workload = bench ? 'bench' : name.includes('warmup') ? 'longdoc-warmup' : 'longdoc-query';
  return { kind: 'round', engine, workload, folder: dirname(file), requests };
}

function arrivalsCase(name: string, rows: readonly Row[], file: string): ArrivalsCase {
  const requests = requestsOf(rows, BENCH_COLUMNS, file);
  const ownName = name
    .replace(/[.]csv.*$/, '')
    .split('-')
    .slice(2)
    .join('-');
  return { kind: 'arrivals', engine: engineOf(name, file), name: ownName === '' ? 'arrivals' : ownName, requests };
}

const BENCH_COLUMNS = { id: 'i', start: 'start', end: 'end' } as const;
const LONGDOC_COLUMNS = { id: 'prompt_id', start: 'request_start', end: 'request_end' } as const;

function requestsOf(
  rows: readonly Row[],
  columns: { readonly id: string; readonly start: string; readonly end: string },
  file: string,
): readonly RecordedRequest[] {
  return rows
    .filter((row) => !row.error)
    .map((row) => ({
      prompt: row[columns.id] ?? '',
      start: number(row, columns.start, file),
      // A stream without text has no first chunk with one; its end is all there is.
      ttft: row.ttft === '' ? number(row, 'first_chunk', file) : number(row, 'ttft', file),
      end: number(row, columns.end, file),
      promptTokens: number(row, 'prompt_tokens', file),
      outputTokens: number(row, 'completion_tokens', file),
    }));
}

function smallCase(row: Row, file: string): RecordedCase {
  const engine = engineOf(row.engine ?? '', file);
  const seconds = duration(row, 'ms', file) / 1000;
  if (row.kind === 'step') {
    const sizes = { batch: number(row, 'batch', file), contextTokens: number(row, 'context_tokens', file) };
    return { kind: 'step', engine, ...sizes, seconds };
  }
  if (row.kind !== 'ttft') throw new Error(`"${file}": kind "${row.kind}" is neither "ttft" nor "step"`);
  return {
    kind: 'ttft',
    engine,
    cachedIn: cacheOf(row.cached_in ?? '', file),
    repetitions: [repetitionOf(row, seconds, file)],
  };
}

/** Items of the same key together, in the order in which keys first occur. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const known = groups.get(keyOf(item));
    if (known === undefined) groups.set(keyOf(item), [item]);
    else known.push(item);
  }
  return [...groups.values()];
}
