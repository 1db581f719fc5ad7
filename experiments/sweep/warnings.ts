import type { SweepMeasurement } from '../../results-schema/sweep-summary.js';
import type { ConversationPlan } from '../../workloads/traces/replay-plan.js';
import type { ReplayResult } from './replay.js';

/** Of the rate that was asked for, so much counts as sent: the last turns of a replay may always be a little late. */
const rateTolerance = 0.8;

/** What a reader of the figures must know, though the experiment has succeeded. */
export function warningsOf(measurement: SweepMeasurement, plan: ConversationPlan, replay: ReplayResult): string[] {
  const { requests, client, cache } = measurement;
  const notes = [...plan.notes].map(([sentence, count]) => `data set: ${count} ${sentence}`);
  return [
    ...notes,
    ...(requests.failed > 0 ? [`${requests.failed} of ${requests.sent} requests failed`] : []),
    ...describeRate(plan, replay),
    ...(client.overloaded
      ? [
          `requests left ${client.sendLagP99Ms.toFixed(1)} ms late (p99): the client was overloaded, lower --gpus or the rate`,
        ]
      : []),
    ...(cache.gpu.queriedTokens === 0 ? ['the server counted no look-up in its prefix cache: no hit rates'] : []),
    ...(cache.gpu.queriedTokens > 0 && cache.lmcache.queriedTokens === 0
      ? ['the server counted no look-up in LMCache']
      : []),
  ];
}

/** A server that answers too late gets less than was asked for: the turns after an answer are not sent before it. */
function describeRate({ requests }: ConversationPlan, replay: ReplayResult): string[] {
  const dueUntil = requests.reduce((last, { dueSeconds }) => Math.max(last, dueSeconds), 0);
  const sentUntil = replay.requests.reduce((last, { sentSeconds }) => Math.max(last, sentSeconds), 0);
  const asked = requests.length / dueUntil;
  const sent = (requests.length - replay.unsent) / sentUntil;
  const isSlow = dueUntil > 0 && sentUntil > 0 && sent < asked * rateTolerance;
  if (!isSlow && replay.unsent === 0) return [];
  const what = [
    ...(isSlow ? [`sent were ${sent.toFixed(2)} of ${asked.toFixed(2)} requests a second`] : []),
    ...(replay.unsent > 0 ? [`${replay.unsent} of ${requests.length} requests were not sent in time`] : []),
  ];
  return [`${what.join(', ')}: turns wait for the answers before them`];
}
