import { describeOutcome, type RequestRecord, ttftSeconds } from '../request.js';
import type { DecodeRow } from './record-decode.js';
import { type SingleRow, sinceSent } from './record-singles.js';

type Cell = string | number | boolean | null;

/** Header of a recording, by its part. */
export const RECORDING_HEADERS = {
  single:
    'engine,length,rep,mode,first_chunk,ttft,prompt_tokens,cached_tokens,error,reset_ok,server_ttft,queue,prefill',
  decode: 'batch,stream,prompt_tokens,token times in ms',
  arrivals: 'i,start,first_chunk,ttft,end,prompt_tokens,completion_tokens,cached_tokens,error',
  longdoc:
    'prompt_id,request_start,ttft,request_end,successful,first_chunk,prompt_tokens,completion_tokens,cached_tokens,error',
} as const;

export function singleLine(row: SingleRow): string {
  const { serverTtft, queue, prefill } = row.engineTimes;
  return lineOf([
    ...[row.engine, row.length, row.rep, row.mode, row.firstChunk, row.ttft, row.promptTokens, row.cachedTokens],
    ...[row.error, row.resetOk, serverTtft, queue, prefill],
  ]);
}

/** Hundredths of a millisecond. */
export function decodeLine({ batch, stream, promptTokens, tokenTimesMs }: DecodeRow): string {
  return lineOf([batch, stream, promptTokens, ...tokenTimesMs.map((time) => Math.round(time * 100) / 100)]);
}

/** Times in seconds since the first was due; `first_chunk` and `ttft` since it was sent. */
export function arrivalLine(record: RequestRecord): string {
  const { firstChunk, ttft, error } = measured(record);
  const { promptTokens, completionTokens, cachedTokens } = record;
  const times = [record.sentAt, firstChunk, ttft, record.endedAt];
  return lineOf([record.index, ...times, promptTokens, completionTokens, cachedTokens ?? 0, error]);
}

/** Times in seconds since the round's start; `first_chunk` and `ttft` since it was sent. */
export function longdocLine(record: RequestRecord): string {
  const { firstChunk, ttft, error } = measured(record);
  const { promptTokens, completionTokens, cachedTokens } = record;
  const times = [record.sentAt, ttft, record.endedAt, record.outcome.state === 'ok', firstChunk];
  return lineOf([record.index, ...times, promptTokens, completionTokens, cachedTokens ?? 0, error]);
}

function measured(record: RequestRecord): { firstChunk: number | null; ttft: number | null; error: string } {
  return {
    firstChunk: sinceSent(record, record.tokenTimes[0]),
    ttft: record.outcome.state === 'ok' ? ttftSeconds(record) : null,
    error: describeOutcome(record.outcome),
  };
}

/** No cell holds what would divide it: readers split at commas and line ends. */
function lineOf(cells: readonly Cell[]): string {
  return `${cells.map(textOf).join(',')}\n`;
}

function textOf(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'boolean') return cell ? 'True' : 'False';
  return typeof cell === 'number' ? String(cell) : cell.replaceAll(/[",\s]+/g, ' ').trim();
}
