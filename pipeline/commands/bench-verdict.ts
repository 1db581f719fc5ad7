import { type InterruptSignal, interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import type { BenchServeResult } from '../../workloads/bench/options.js';
import type { BenchServeJson } from '../../workloads/bench/result-json.js';
import { describeOutcome } from '../../workloads/request.js';
import type { RequestTable } from '../../workloads/request-table.js';

/** So many times slower than planned may the sending be. */
const RATE_TOLERANCE = 1.05;

/** What a run came to: its exit code, and what to tell the person. */
export interface BenchVerdict {
  readonly exitCode: number;
  readonly lines: readonly string[];
}

/** 0 all answered; 1 requests failed; 3 none succeeded, or this client did not keep up; else the signal's code. */
export function benchVerdict(
  result: Pick<BenchServeResult, 'json' | 'table' | 'simulated' | 'clientHealth'>,
  interruptedBy: InterruptSignal | null,
): BenchVerdict {
  const { json, table, simulated } = result;
  const { sendLagMs, overloaded, remedy } = result.clientHealth;
  const ms = (value: number): string => value.toFixed(2);
  const lines = [
    ...(simulated === null ? [] : [`SIMULATED (profile "${simulated.profile}", speed x${simulated.speed}).`]),
    `Send lag ms: p50 ${ms(sendLagMs.p50)}, p99 ${ms(sendLagMs.p99)}, max ${ms(sendLagMs.max)}.`,
    ...describeCached(json),
    ...describeRate(json, table),
    ...(overloaded ? [`INVALID: ${remedy ?? 'this client did not keep up.'}`] : []),
  ];
  if (interruptedBy !== null) {
    lines.push(`${interruptedBy}: the figures cover ${json.completed} of ${table.size} requests.`);
    return { exitCode: interruptExitCodes[interruptedBy], lines };
  }
  const failures = table.failures();
  // Those ended by us say nothing about why.
  const first = failures.find(({ reason }) => reason !== 'aborted') ?? failures[0];
  if (first !== undefined) {
    lines.push(
      `${json.failed} of ${table.size} requests failed; the first: ${describeOutcome({ state: 'failed', ...first })}`,
    );
    if (json.lmcache_ci.stopped_by === 'failure-rate') {
      lines.push('Stopped: more failed than --abort-on-failure-rate allows.');
    }
    return { exitCode: json.completed === 0 ? 3 : 1, lines };
  }
  return { exitCode: overloaded ? 3 : 0, lines };
}

/** A load that the server has seen before measures its caches: to be known, whether it was meant or not. */
function describeCached({ lmcache_ci: { cached_tokens: cached }, total_input_tokens: sent }: BenchServeJson): string[] {
  if (cached === null || cached === 0 || sent === 0) return [];
  const percent = Math.min(100, (cached / sent) * 100).toFixed(1);
  return [
    `Out of the server's caches came ${cached} of ${sent} prompt tokens (${percent} %): prompts that were sent before ` +
      '(the same --seed makes the same ones), or that begin alike.',
  ];
}

/** The rate that was asked for and the one that was sent, where a limit, or late answers in conversations, kept them apart. */
function describeRate(json: BenchServeJson, table: RequestTable): string[] {
  const { max_concurrency: limit, lmcache_ci: extras, num_prompts: planned } = json;
  const conversations = extras.multi_round_qa;
  let [dueUntil, sentUntil] = [0, 0];
  for (const { intendedStart, sentAt } of table) {
    dueUntil = Math.max(dueUntil, intendedStart);
    sentUntil = Math.max(sentUntil, sentAt ?? 0);
  }
  const asked = Math.min(planned / dueUntil, conversations?.configured_qps ?? Number.POSITIVE_INFINITY);
  const sent = table.size / sentUntil;
  const canBeHeldBack = !extras.interrupted && (limit !== null || conversations !== undefined);
  if (!canBeHeldBack || dueUntil === 0 || sentUntil === 0 || sent * RATE_TOLERANCE >= asked) return [];
  const why =
    conversations === undefined
      ? `--max-concurrency ${limit} held them back`
      : 'questions wait for the answers before them';
  const { mean, p99 } = extras.ttft_from_intended_ms;
  return [
    `Sent were ${sent.toFixed(2)} of ${asked.toFixed(2)} requests a second: ${why}. ` +
      `TTFT from when they were due, ms: mean ${mean.toFixed(2)}, p99 ${p99.toFixed(2)}.`,
  ];
}
