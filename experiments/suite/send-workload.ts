import type { MeasuringClient } from '../../workloads/measuring-client.js';
import { type RequestRecord, ttftSeconds } from '../../workloads/request.js';
import type { RoundClock, RoundRequest } from '../../workloads/request-round.js';
import type { Request, Workload } from './terms.js';

/** One request that has ended, well or not. */
export interface Measured {
  /** Position in the workload. */
  readonly requestId: number;
  readonly request: Request;
  readonly record: RequestRecord;
  /** Tokens in front of the question, earlier turns of its conversation included. */
  readonly contextLength: number;
}

export interface SendOptions {
  readonly signal: AbortSignal;
  /** Limit of each request, seconds of the engine's time. */
  readonly requestTimeoutSeconds: number;
  /** Told in the order of completion. */
  onMeasured(measured: Measured): void;
}

interface Message {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** Wall-clock lag of each request against its timestamp, in ms. */
export type SendLags = readonly number[];

/** Sends each request at its timestamp; those of one conversation one after the other. Failures are records too. */
export async function sendWorkload(
  client: MeasuringClient,
  workload: Workload,
  options: SendOptions,
): Promise<SendLags> {
  const entries = workload.requests.map((request, requestId) => ({ request, requestId }));
  const single = entries.filter(({ request }) => request.conversation === undefined);
  const conversations = new Map<string, Entry[]>();
  for (const entry of entries) {
    const { conversation } = entry.request;
    if (conversation !== undefined)
      conversations.set(conversation, [...(conversations.get(conversation) ?? []), entry]);
  }
  const lags = await Promise.all([
    sendSingle(client, single, options),
    ...[...conversations.values()].map((turns) => sendConversation(client, turns, options)),
  ]);
  return lags.flat();
}

interface Entry {
  readonly request: Request;
  readonly requestId: number;
}

async function sendSingle(client: MeasuringClient, entries: readonly Entry[], options: SendOptions): Promise<SendLags> {
  if (entries.length === 0) return [];
  const ordered = entries.toSorted((a, b) => a.request.timestamp - b.request.timestamp);
  const round = await client.run(
    ordered.map(({ request }) => prepared(client, [userMessage(request)], request, request.timestamp)),
    {
      ...limits(options),
      onRecord: (record) => {
        const entry = ordered[record.index];
        if (entry) options.onMeasured({ ...entry, record, contextLength: entry.request.contextLength });
      },
    },
  );
  return round.sendLagsMs;
}

async function sendConversation(
  client: MeasuringClient,
  turns: readonly Entry[],
  options: SendOptions,
): Promise<SendLags> {
  let startedAt = Number.NaN;
  // Once the first request is serialised and can leave, as with requests that belong to none.
  const begin = async (): Promise<RoundClock> => {
    startedAt = performance.now();
    return { startedAt, freeAt: startedAt };
  };
  let freeAt: number | null = null;
  const lags: number[] = [];
  const messages: Message[] = [];
  for (const { request, requestId } of turns) {
    messages.push(userMessage(request));
    // A turn whose time is over when its answer comes is sent at once.
    const clock = freeAt === null ? begin : { startedAt, freeAt };
    const sent = prepared(client, messages, request, request.timestamp);
    const round = await client.run([sent], { ...limits(options), clock });
    freeAt = performance.now();
    lags.push(...round.sendLagsMs);
    const [record] = round.records;
    if (record === undefined) break;
    messages.push({ role: 'assistant', content: record.text });
    const contextLength =
      record.promptTokens === null ? request.contextLength : Math.max(0, record.promptTokens - request.queryLength);
    options.onMeasured({ request, requestId, record, contextLength });
  }
  return lags;
}

function userMessage({ context, question }: Request): Message {
  return { role: 'user', content: context === '' ? question : `${context} ${question}` };
}

function prepared(
  client: MeasuringClient,
  messages: readonly Message[],
  request: Request,
  intendedStart: number,
): RoundRequest {
  const body = {
    model: client.target.model,
    messages,
    temperature: 0,
    max_tokens: request.maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  };
  return client.prepare('/v1/chat/completions', body, { expectedTokens: request.maxTokens, intendedStart });
}

function limits({ signal, requestTimeoutSeconds }: SendOptions) {
  return { maxInFlight: null, requestTimeoutSeconds, signal };
}

/** The figures of a request that succeeded; nulls for one that failed. */
export function figuresOf(record: RequestRecord): {
  readonly ttft: number | null;
  readonly throughput: number | null;
  readonly latency: number | null;
} {
  const { outcome, firstTokenAt, sentAt, endedAt, completionTokens, tokenTimes } = record;
  const ttft = outcome.state === 'ok' ? ttftSeconds(record) : null;
  if (ttft === null || firstTokenAt === null || sentAt === null) return { ttft: null, throughput: null, latency: null };
  const tokens = completionTokens ?? tokenTimes.length;
  const seconds = endedAt - firstTokenAt;
  return { ttft, throughput: tokens > 1 && seconds > 0 ? tokens / seconds : null, latency: endedAt - sentAt };
}
