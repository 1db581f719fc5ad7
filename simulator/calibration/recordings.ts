import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { median } from './median.js';

export type EngineKind = 'baseline' | 'lmcache';

/** TTFT of one prompt of random tokens on an idle engine. */
export interface TtftCase {
  readonly kind: 'ttft';
  readonly engine: EngineKind;
  readonly promptTokens: number;
  /** Where the cached part came from. */
  readonly cachedIn: 'none' | 'gpu' | 'lmcache';
  readonly cachedTokens: number;
  /** All repetitions, ascending. */
  readonly samples: readonly number[];
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
  readonly cachedTokens: number;
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

export type RecordedCase = TtftCase | StepCase | RoundCase;

/** Prompt tokens of the decode recordings, which do not say so themselves. */
export const DECODE_PROMPT_TOKENS = 2000;

type Row = Readonly<Record<string, string>>;

/**
 * Reads a recording by its name and columns: `single-*.csv`, `decode-*.csv[.gz]`, `longdoc-*.csv`, `bench-*.csv`, or a
 * CSV of cases: `kind,engine,prompt_tokens,cached_in,cached_tokens,batch,context_tokens,ms`.
 * @throws Error naming the file and what is wrong in it.
 */
export function readRecording(file: string): readonly RecordedCase[] {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const name = basename(file);
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const [head = '', ...body] = lines;
  if (name.startsWith('decode-')) return decodeCases(engineOf(name, file), body, file);
  const rows = body.map((line) => rowOf(head.split(','), line, file));
  if (rows.length === 0) throw new Error(`"${file}" holds no recordings`);
  if (name.startsWith('single-')) return ttftCases(rows, file);
  if (name.startsWith('longdoc-') || name.startsWith('bench-')) return [roundCase(name, rows, file)];
  if (head.startsWith('kind,')) return rows.map((row) => smallCase(row, file));
  throw new Error(
    `"${file}" is no recording: its name must begin with single-, decode-, longdoc- or bench-, or its columns with kind`,
  );
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

function ttftCases(rows: readonly Row[], file: string): readonly TtftCase[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.error) continue;
    const key = `${row.engine} ${row.length} ${row.mode}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    return {
      kind: 'ttft' as const,
      engine: engineOf(first.engine ?? '', file),
      promptTokens: number(first, 'prompt_tokens', file),
      cachedIn: cacheOf(first.mode ?? '', file),
      cachedTokens: number(first, 'cached_tokens', file),
      samples: group.map((row) => number(row, 'ttft', file)).toSorted((left, right) => left - right),
    };
  });
}

/**
 * Each line a stream: batch, its number, and the times of its tokens in ms. The steady part is where all run; of its
 * gaps the median counts, which a client or a host that stood still for a moment does not move.
 */
function decodeCases(engine: EngineKind, lines: readonly string[], file: string): readonly StepCase[] {
  const streams = new Map<number, number[][]>();
  for (const line of lines) {
    const [batch = 0, , ...times] = line.split(',').map(Number);
    if (times.length < 2 || times.some(Number.isNaN)) throw new Error(`"${file}": a stream without token times`);
    streams.set(batch, [...(streams.get(batch) ?? []), times]);
  }
  return [...streams].map(([batch, all]) => {
    const from = Math.max(...all.map((times) => times[0] ?? 0));
    const to = Math.min(...all.map((times) => times.at(-1) ?? 0));
    const steady = all.map((times) => times.filter((time) => time >= from && time <= to));
    const gaps = steady.flatMap((times) => times.slice(1).map((time, index) => time - (times[index] ?? 0)));
    const tokens = mean(steady.map((times) => times.length));
    return {
      kind: 'step',
      engine,
      batch,
      contextTokens: Math.round(DECODE_PROMPT_TOKENS + tokens / 2),
      seconds: median(gaps) / 1000,
    };
  });
}

function roundCase(name: string, rows: readonly Row[], file: string): RoundCase {
  const engine = engineOf(name, file);
  const bench = name.startsWith('bench-');
  const [idColumn, startColumn, endColumn] = bench
    ? (['i', 'start', 'end'] as const)
    : (['prompt_id', 'request_start', 'request_end'] as const);
  const workload = bench ? 'bench' : name.includes('warmup') ? 'longdoc-warmup' : 'longdoc-query';
  const requests = rows
    .filter((row) => !row.error)
    .map((row) => ({
      prompt: row[idColumn] ?? '',
      start: number(row, startColumn, file),
      // A stream without text has no first chunk with one; its end is all there is.
      ttft: row.ttft === '' ? number(row, 'first_chunk', file) : number(row, 'ttft', file),
      end: number(row, endColumn, file),
      promptTokens: number(row, 'prompt_tokens', file),
      outputTokens: number(row, 'completion_tokens', file),
      cachedTokens: number(row, 'cached_tokens', file),
    }));
  return { kind: 'round', engine, workload, folder: dirname(file), requests };
}

function smallCase(row: Row, file: string): RecordedCase {
  const engine = engineOf(row.engine ?? '', file);
  const seconds = number(row, 'ms', file) / 1000;
  if (row.kind === 'step') {
    const sizes = { batch: number(row, 'batch', file), contextTokens: number(row, 'context_tokens', file) };
    return { kind: 'step', engine, ...sizes, seconds };
  }
  if (row.kind !== 'ttft') throw new Error(`"${file}": kind "${row.kind}" is neither "ttft" nor "step"`);
  const cachedIn = cacheOf(row.cached_in ?? '', file);
  return {
    kind: 'ttft',
    engine,
    promptTokens: number(row, 'prompt_tokens', file),
    cachedIn,
    cachedTokens: cachedIn === 'none' ? 0 : number(row, 'cached_tokens', file),
    samples: [seconds],
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
