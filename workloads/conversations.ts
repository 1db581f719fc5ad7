import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MeasuringClient } from './measuring-client.js';
import type { RequestRecord } from './request.js';
import type { RoundOptions, RoundRequest, RoundResult } from './request-round.js';

/** Requests that follow each other: each one can only be made when the answer before it is there. */
export interface Conversation {
  /** When the next turn is wanted, seconds of the server's time after the start; null: there is none. */
  nextDue(turns: readonly RequestRecord[]): number | null;
  /** The next turn, which is due then. */
  nextRequest(turns: readonly RequestRecord[], dueSeconds: number): RoundRequest;
}

export interface ConversationsResult extends RoundResult {
  /** For each record the position of its conversation, and of the turn within. */
  readonly turns: readonly { readonly conversation: number; readonly turn: number }[];
}

/** So long before a turn is due its request is made and its connection looked at. */
const AHEAD_MS = 100;

/**
 * Holds conversations side by side. A turn leaves when it is due, or as soon as the answer before is read, and then
 * counts from when it was due. A conversation ends with its first failure. An abort ends what is in flight and resolves
 * with the turns so far. Records are in the order of their intended starts.
 */
export async function runConversations(
  client: MeasuringClient,
  conversations: readonly Conversation[],
  options: Omit<RoundOptions, 'speed' | 'clock' | 'maxInFlight'>,
): Promise<ConversationsResult> {
  const { signal } = options;
  // One listener a conversation.
  setMaxListeners(0, signal);
  const startedAt = performance.now();
  const counts = { done: 0, failed: 0, inFlight: 0 };
  const sendLagsMs: number[] = [];
  let lastEnd = 0;

  const hold = async (conversation: Conversation): Promise<RequestRecord[]> => {
    const turns: RequestRecord[] = [];
    let freeAt = startedAt;
    for (;;) {
      const dueSeconds = conversation.nextDue(turns);
      if (dueSeconds === null || signal.aborted) {
        return turns;
      }
      const waitMs = startedAt + (dueSeconds * 1000) / client.speed - performance.now() - AHEAD_MS;
      if (waitMs > 0) {
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
      if (signal.aborted) {
        return turns;
      }
      counts.inFlight += 1;
      const { records, sendLagsMs: lags } = await client.run([conversation.nextRequest(turns, dueSeconds)], {
        ...options,
        maxInFlight: null,
        clock: { startedAt, freeAt },
        onRecord: (record) => {
          counts.inFlight -= 1;
          counts.done += 1;
          counts.failed += record.outcome.state === 'failed' ? 1 : 0;
          options.onRecord?.(record, { ...counts });
        },
      });
      sendLagsMs.push(...lags);
      const [record] = records;
      if (record === undefined) {
        return turns;
      }
      lastEnd = Math.max(lastEnd, record.endedAt);
      turns.push(record);
      freeAt = performance.now();
      if (record.outcome.state === 'failed') {
        return turns;
      }
    }
  };

  const held = await Promise.all(conversations.map(hold));
  const all = held
    .flatMap((turns, conversation) => turns.map((record, turn) => ({ record, conversation, turn })))
    .sort((a, b) => a.record.intendedStart - b.record.intendedStart);
  return {
    records: all.map(({ record }, index) => ({ ...record, index })),
    turns: all.map(({ conversation, turn }) => ({ conversation, turn })),
    durationSeconds: lastEnd,
    sendLagsMs,
    interrupted: signal.aborted,
  };
}
