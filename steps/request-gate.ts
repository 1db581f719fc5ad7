import { type Gate, judge } from '../results-schema/verdicts.js';
import { describeOutcome, type RequestRecord } from '../workloads/request.js';

/** All requests of a workload must have succeeded; the evidence names the first that did not. */
export function requestGate(name: string, title: string, records: readonly RequestRecord[], expected: number): Gate {
  const failed = records.filter((record) => record.outcome.state === 'failed');
  return {
    verdict: judge({
      name,
      title,
      unit: 'requests',
      measured: records.length - failed.length,
      comparison: '==',
      threshold: expected,
    }),
    ...blame(failed),
    meaning: `${expected - (records.length - failed.length)} of ${expected} requests did not succeed.`,
    evidence: failed.slice(0, 5).map((record) => `request ${record.index}: ${describeOutcome(record.outcome)}`),
  };
}

/** A server that answers wrongly has failed; one that cannot be reached, or was asked for too much, has not. */
function blame(failed: readonly RequestRecord[]): Pick<Gate, 'reason' | 'cause'> {
  const outcomes = failed.map((record) => record.outcome);
  const all = (test: (outcome: RequestRecord['outcome']) => boolean) => outcomes.length > 0 && outcomes.every(test);
  if (all((outcome) => outcome.state === 'failed' && outcome.reason === 'connection')) {
    return { reason: 'infrastructure', cause: 'engine-unreachable' };
  }
  if (all((outcome) => outcome.state === 'failed' && outcome.reason === 'timeout')) {
    // Why a server does not answer in time is not known.
    return { reason: 'unknown', cause: 'timeout' };
  }
  if (all((outcome) => outcome.state === 'failed' && outcome.reason === 'http-error' && outcome.status < 500)) {
    return { reason: 'configuration', cause: 'request-failed' };
  }
  return { reason: 'regression', cause: 'request-failed' };
}
