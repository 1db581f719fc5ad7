import { type InterruptSignal, interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import type { BenchServeResult } from '../../workloads/bench/options.js';
import { describeOutcome } from '../../workloads/request.js';

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
