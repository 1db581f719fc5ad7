import { MadeTimes } from './generate-conversations.js';
import { RandomDraws } from './random-draws.js';
import { conversationRequestId } from './server-log.js';
import { type Trace, TraceFileError, type TraceRequest } from './trace.js';
import { textOf } from './turn-text.js';

export interface ConversationPlanOptions {
  /** Requests a second, on average; Infinity: everything is due at once, turns still wait for their answers. */
  readonly requestRate: number;
  /** At most so many requests, the earliest of the trace. */
  readonly numPrompts: number;
  /** Nothing is due later than this. */
  readonly timeLimitSeconds: number;
  /** Decides texts, and arrivals where the trace has no times. */
  readonly seed: number;
  /** The recorded answer goes into the prompt, and one token is generated; default false. */
  readonly mockDecoding?: boolean;
  /** Requests whose prompt and answer exceed this are left out, with what follows in their conversation. */
  readonly maxContextTokens?: number;
}

/** One request of a replay. */
export interface PlannedRequest {
  /** Position in `requests`, which are in the order of `dueSeconds`. */
  readonly index: number;
  /** Seconds after the start. A turn whose predecessor has no answer by then waits for it. */
  readonly dueSeconds: number;
  /** The turn before, which must be answered first; null for a first turn. */
  readonly afterIndex: number | null;
  readonly conversation: number;
  readonly turn: number;
  /** Tokens of the question alone. */
  readonly newTokens: number;
  /** Tokens of history and question, without what a chat template adds. */
  readonly promptTokens: number;
  /** Tokens to generate. */
  readonly outputTokens: number;
  /** To be sent as `X-Request-Id`, so that server logs name conversation and turn. */
  readonly requestId: string;
}

export interface ChatMessage {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

export interface ConversationPlan {
  readonly requests: readonly PlannedRequest[];
  readonly conversations: number;
  /** What was left out or mended, by sentence, with how often. */
  readonly notes: ReadonlyMap<string, number>;
  /**
   * The whole conversation up to the request's question. Texts that the trace does not have are made from token
   * counts, the same ones whenever they are asked for: prompts of a conversation share their prefixes exactly.
   * @param answerOf what the server really answered, by index; undefined: the recorded or made answer stands in
   */
  messagesOf(index: number, answerOf?: (index: number) => string | undefined): readonly ChatMessage[];
  /** The same as one text, for /v1/completions. */
  promptOf(index: number, answerOf?: (index: number) => string | undefined): string;
}

/**
 * When each request of a trace is due in a replay. The trace's times are stretched or squeezed as a whole, so that
 * the requests chosen come at `requestRate` on average and keep their bursts; a trace without times gets Poisson
 * arrivals of conversations and log-normal pauses between turns.
 * @throws TraceFileError where the trace is broken; RangeError for a rate or limit out of range
 */
export async function conversationPlan(trace: Trace, options: ConversationPlanOptions): Promise<ConversationPlan> {
  checkOptions(options);
  const notes = new Map<string, number>();
  const chosen = await chooseRequests(trace, options);
  for (const [sentence, count] of trace.notes) {
    notes.set(sentence, count);
  }
  const fitting = withinContext(chosen, options, notes);
  const dueTimes = stretch(fitting, options);
  const requests: PlannedRequest[] = [];
  const sources: TraceRequest[] = [];
  const lastOf = new Map<number, number>();
  for (const [position, source] of fitting.entries()) {
    const dueSeconds = dueTimes[position] ?? 0;
    if (dueSeconds > options.timeLimitSeconds) {
      break;
    }
    const index = requests.length;
    const afterIndex = lastOf.get(source.conversation) ?? null;
    const before = afterIndex === null ? undefined : requests[afterIndex];
    const newTokens = options.mockDecoding ? source.newTokens + source.outputTokens : source.newTokens;
    const outputTokens = options.mockDecoding ? 1 : Math.max(1, source.outputTokens);
    const turn = before === undefined ? 0 : before.turn + 1;
    requests.push({
      index,
      dueSeconds,
      afterIndex,
      conversation: source.conversation,
      turn,
      newTokens,
      promptTokens:
        source.hashIds === undefined
          ? (before === undefined ? 0 : before.promptTokens + before.outputTokens) + newTokens
          : source.promptTokens,
      outputTokens,
      requestId: conversationRequestId(source.conversation, turn),
    });
    sources.push(source);
    lastOf.set(source.conversation, index);
  }
  if (requests.length === 0) {
    throw new TraceFileError(trace.path, 'holds no request that can be replayed');
  }
  return new Plan(requests, sources, lastOf.size, notes, options, trace.blockTokens);
}

function checkOptions(options: ConversationPlanOptions): void {
  const { requestRate, numPrompts, timeLimitSeconds, seed } = options;
  if (!(requestRate > 0)) throw new RangeError(`A request rate must be above 0, not "${requestRate}".`);
  if (!(Number.isInteger(numPrompts) && numPrompts >= 1)) {
    throw new RangeError(`numPrompts must be a whole number of at least 1, not "${numPrompts}".`);
  }
  if (!(timeLimitSeconds > 0)) throw new RangeError(`A time limit must be above 0, not "${timeLimitSeconds}".`);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`A seed must be a whole number, not "${seed}".`);
}

/** The earliest `numPrompts`; the file is read no further than needed where its times go up. */
async function chooseRequests(trace: Trace, options: ConversationPlanOptions): Promise<readonly TraceRequest[]> {
  const requests: TraceRequest[] = [];
  let latest = Number.NEGATIVE_INFINITY;
  let goesUp = true;
  reading: for await (const batch of trace.batches()) {
    for (const request of batch) {
      if (goesUp && requests.length >= options.numPrompts) {
        break reading;
      }
      const time = request.timeSeconds ?? latest;
      goesUp &&= time >= latest;
      latest = Math.max(latest, time);
      requests.push(request);
    }
  }
  if (!trace.hasTimes) {
    return inTime(requests, madeTimes(requests, options.seed));
  }
  const ordered = goesUp ? requests : inTime(requests, (request) => request.timeSeconds ?? 0);
  return ordered.slice(0, options.numPrompts);
}

function inTime(requests: readonly TraceRequest[], timeOf: (request: TraceRequest) => number): TraceRequest[] {
  return requests
    .map((request) => ({ ...request, timeSeconds: timeOf(request) }))
    .sort((a, b) => a.timeSeconds - b.timeSeconds || a.index - b.index);
}

function madeTimes(requests: readonly TraceRequest[], seed: number): (request: TraceRequest) => number {
  const made = new MadeTimes(seed);
  const times = requests.map(({ turn }) => made.next(turn));
  return ({ index }) => times[index] ?? 0;
}

function withinContext(
  requests: readonly TraceRequest[],
  options: ConversationPlanOptions,
  notes: Map<string, number>,
): readonly TraceRequest[] {
  const limit = options.maxContextTokens ?? Number.POSITIVE_INFINITY;
  const ended = new Set<number>();
  const historyOf = new Map<number, number>();
  return requests.filter((request) => {
    const { conversation, newTokens, outputTokens } = request;
    const prompt =
      request.hashIds === undefined ? (historyOf.get(conversation) ?? 0) + newTokens : request.promptTokens;
    if (ended.has(conversation) || prompt + outputTokens > limit) {
      ended.add(conversation);
      const sentence = `requests of more than ${limit} tokens, and what followed them, were left out`;
      notes.set(sentence, (notes.get(sentence) ?? 0) + 1);
      return false;
    }
    historyOf.set(conversation, prompt + outputTokens);
    return true;
  });
}

function stretch(requests: readonly TraceRequest[], { requestRate, seed }: ConversationPlanOptions): readonly number[] {
  const first = requests[0]?.timeSeconds ?? 0;
  const span = (requests.at(-1)?.timeSeconds ?? 0) - first;
  if (requestRate === Number.POSITIVE_INFINITY) {
    return requests.map(() => 0);
  }
  if (span > 0) {
    const scale = (requests.length - 1) / span / requestRate;
    return requests.map(({ timeSeconds }) => ((timeSeconds ?? 0) - first) * scale);
  }
  const draws = new RandomDraws(seed);
  let due = 0;
  return requests.map((_, index) => {
    due += index === 0 ? 0 : draws.exponential(1 / requestRate);
    return due;
  });
}

class Plan implements ConversationPlan {
  readonly requests: readonly PlannedRequest[];
  readonly conversations: number;
  readonly notes: ReadonlyMap<string, number>;
  readonly #sources: readonly TraceRequest[];
  readonly #options: ConversationPlanOptions;
  readonly #blockTokens: number | null;

  constructor(
    requests: readonly PlannedRequest[],
    sources: readonly TraceRequest[],
    conversations: number,
    notes: ReadonlyMap<string, number>,
    options: ConversationPlanOptions,
    blockTokens: number | null,
  ) {
    this.requests = requests;
    this.conversations = conversations;
    this.notes = notes;
    this.#sources = sources;
    this.#options = options;
    this.#blockTokens = blockTokens;
  }

  messagesOf(index: number, answerOf?: (index: number) => string | undefined): readonly ChatMessage[] {
    const request = this.#request(index);
    const blocks = this.#blockTexts(index);
    if (blocks !== null) {
      return [{ role: 'user', content: blocks }];
    }
    const messages: ChatMessage[] = [{ role: 'user', content: this.#question(index) }];
    for (let before = request.afterIndex; before !== null; before = this.#request(before).afterIndex) {
      const answer = answerOf?.(before) ?? this.#answer(before);
      messages.push({ role: 'assistant', content: answer }, { role: 'user', content: this.#question(before) });
    }
    return messages.reverse();
  }

  promptOf(index: number, answerOf?: (index: number) => string | undefined): string {
    return this.messagesOf(index, answerOf)
      .map(({ content }) => content)
      .join('\n');
  }

  #request(index: number): PlannedRequest {
    const request = this.requests[index];
    if (request === undefined) {
      throw new RangeError(`The plan has ${this.requests.length} requests, none of number ${index}.`);
    }
    return request;
  }

  #question(index: number): string {
    const { conversation, turn, newTokens } = this.#request(index);
    const source = this.#sources[index];
    const made = (tokens: number): string => textOf(`${this.#options.seed}:${conversation}:${turn}:question`, tokens);
    const recorded = source?.inputText;
    if (recorded === undefined) {
      return made(newTokens);
    }
    return this.#options.mockDecoding
      ? `${recorded}\n${source?.outputText ?? made(source?.outputTokens ?? 0)}`
      : recorded;
  }

  #answer(index: number): string {
    const { conversation, turn, outputTokens } = this.#request(index);
    const recorded = this.#options.mockDecoding ? undefined : this.#sources[index]?.outputText;
    return recorded ?? textOf(`${this.#options.seed}:${conversation}:${turn}:answer`, outputTokens);
  }

  /** A prompt that is known by its blocks: equal blocks are equal texts. */
  #blockTexts(index: number): string | null {
    const source = this.#sources[index];
    const blockTokens = this.#blockTokens;
    if (source?.hashIds === undefined || blockTokens === null) {
      return null;
    }
    const last = source.hashIds.length - 1;
    return source.hashIds
      .map((id, position) =>
        textOf(
          `${this.#options.seed}:block:${id}`,
          position === last ? source.promptTokens - position * blockTokens : blockTokens,
        ),
      )
      .join(' ');
  }
}
