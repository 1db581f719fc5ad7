import { stringify } from 'csv-stringify/sync';
import type { LongDocQaResult, LongDocQaSummary } from './long-doc-qa.js';
import { pythonFloat } from './python-format.js';
import { describeOutcome, type RequestRecord, ttftSeconds } from './request.js';

/** The summary as the one line that long_doc_qa prints last; what could not be measured is null. */
export function formatLongDocQaSummary(summary: LongDocQaSummary): string {
  const members = Object.entries(summary).map(
    ([key, value]: [string, number | null]) => `"${key}": ${value === null ? 'null' : pythonFloat(value)}`,
  );
  return `{${members.join(', ')}}`;
}

/** `warmup_round.csv`: times in seconds after the round's start; every prompt of this round is a miss. */
export function warmupRoundCsv(records: readonly RequestRecord[]): string {
  const columns = ['prompt_id', 'request_start', 'ttft', 'request_end', 'successful', 'ttft_time', 'is_miss'];
  return csv(
    columns,
    records.map((record) => ({ ...row(record), is_miss: 'True' })),
  );
}

/** `query_round.csv`: the same, with `is_miss` ahead of `ttft_time`. */
export function queryRoundCsv(records: readonly RequestRecord[], isMiss: readonly boolean[]): string {
  const columns = ['prompt_id', 'request_start', 'ttft', 'request_end', 'successful', 'is_miss', 'ttft_time'];
  return csv(
    columns,
    records.map((record) => ({ ...row(record), is_miss: isMiss[record.index] ? 'True' : 'False' })),
  );
}

/** The answers of both rounds for a reader and for comparison; a failed request says why, a simulator is named. */
export function longDocQaAnswers(result: LongDocQaResult): string {
  const round = (title: string, records: readonly RequestRecord[]): string[] => [
    `------${title} round------`,
    ...records.map((record) =>
      record.outcome.state === 'ok'
        ? `Response of request ${record.index}: ${record.text}`
        : `Request ${record.index} failed: ${describeOutcome(record.outcome)}`,
    ),
  ];
  const mark =
    result.simulated === null
      ? []
      : [`SIMULATED (profile "${result.simulated.profile}", speed x${result.simulated.speed}): no model answered`];
  return `${[...mark, ...round('warm up', result.warmup), ...round('query', result.query)].join('\n')}\n`;
}

function row(record: RequestRecord): Record<string, string> {
  const measured = record.outcome.state === 'ok' ? ttftSeconds(record) : null;
  const start = record.sentAt ?? record.readyAt;
  const ttft = measured ?? -1;
  return {
    prompt_id: String(record.index),
    request_start: pythonFloat(start),
    ttft: pythonFloat(ttft),
    request_end: pythonFloat(record.endedAt),
    successful: measured === null ? 'False' : 'True',
    ttft_time: pythonFloat(start + ttft),
  };
}

function csv(columns: readonly string[], rows: readonly Record<string, string>[]): string {
  return stringify([...rows], { header: true, columns: [...columns] });
}
