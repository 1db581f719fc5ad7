import { ConversationTable } from './conversation-table.js';
import { textLines } from './text-lines.js';
import { TimestampParser } from './timestamps.js';
import { TraceFileError, type TraceRequest } from './trace.js';
import { TraceSource } from './trace-source.js';

/** What a server log says was so, whether or not it names its requests. All tokens are sums. */
export interface ServerLogFacts {
  /** Lookups that name the prompt's length. */
  readonly lookups: number;
  readonly lookupTokens: number;
  /** Of those. */
  readonly hitTokens: number;
  /** Of those, how many named their conversation and turn, so that they can be simulated. */
  readonly namedLookups: number;
  readonly storedTokens: number;
  readonly retrievedTokens: number;
  /** Chunks found by the cache server's prefetches, by tier. */
  readonly l1Chunks: number;
  readonly l2Chunks: number;
  /** How often eviction was triggered. */
  readonly evictions: number;
  /** Tokens a chunk; null where the log does not say. */
  readonly chunkTokens: number | null;
}

/** What `X-Request-Id` must be for vLLM's and LMCache's logs to name conversation and turn. */
export function conversationRequestId(conversation: number, turn: number): string {
  return `conv_${conversation}_${turn}`;
}

const ANSI = /\u001b\[[0-9;]*m/g;
const NAME = /conv_(\d+)_(\d+)/;
const OBSERVED = /on_lookup: conv_(\d+)_(\d+), num_tokens=(\d+), hit_tokens=(\d+)/;
const LOOKUP =
  /Reqid: ([^\s,]+), Total tokens (\d+), (?:Inference Engine computed tokens: \d+, )?LMCache hit tokens: (\d+)/;
const REPLAYED = /conversation=(\d+) turn=(\d+) due=\S+ sent=([\d.]+)s prompt=(\d+) cached=(\d+|unknown) output=(\d+)/;
const PREFETCH = /Prefetch request completed \(L1\+L2\): \d+\/\d+ retained keys \((\d+) L1, (\d+) L2\)/;
const STORED = /Stored (\d+) (?:out of total \d+ )?tokens/;
const RETRIEVED = /Retrieved (\d+) (?:out of \d+ required )?tokens/;
const EVICTION = /above watermark .* triggering eviction/;
const CHUNK = /chunk_size=(\d+)/;
const TIME = /\[(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}[.,]\d+)\]/;

/**
 * A log of LMCache, or of a vLLM with LMCache inside. Lookups are requests of a trace where they name conversation and
 * turn: in `on_lookup: conv_3_1, num_tokens=...` of the original cache benchmark runner's LMCache, or in
 * `Reqid: chatcmpl-conv_3_1-..., Total tokens ...` when the client sent `X-Request-Id: conv_3_1`. Everything else
 * that the log counts is in `facts`. Answers' lengths are not in such logs: the next turn's prompt has them. The log
 * of a sweep's client, `conversation=3 turn=1 due=... sent=2.5s prompt=900 cached=0 output=60`, has them.
 */
export class ServerLogTrace extends TraceSource {
  readonly format = 'server-log';
  readonly hasTimes = true;
  readonly blockTokens = null;
  #facts = noFacts();

  /** Complete once the batches were read. */
  get facts(): ServerLogFacts {
    return this.#facts;
  }

  protected async *read(): AsyncGenerator<readonly TraceRequest[]> {
    const facts = noFacts();
    this.#facts = facts;
    const rows = new LookupRows((seconds) => this.sinceFirst(seconds, true));
    for await (const lines of textLines(this.path)) {
      const batch: TraceRequest[] = [];
      for (const { bytes, number } of lines) {
        const line = bytes.toString('utf8').replaceAll(ANSI, '');
        const lookup = lookupOf(line);
        if (lookup === null) {
          count(facts, line);
          continue;
        }
        facts.lookups += 1;
        facts.lookupTokens += lookup.tokens;
        facts.hitTokens += lookup.hitTokens;
        if (lookup.conversation === null) {
          continue;
        }
        facts.namedLookups += 1;
        const request = rows.read(line, lookup);
        if (request === 'no-time') {
          throw new TraceFileError(this.path, 'a lookup without a time such as [2026-11-22 01:12:20,714]', {
            line: number,
          });
        }
        if (request === 'again') {
          this.note('lookups of a request that was looked up before were left out');
        } else {
          batch.push(request);
        }
      }
      if (batch.length > 0) {
        yield batch;
      }
    }
    if (facts.lookups + facts.storedTokens + facts.retrievedTokens + facts.l1Chunks + facts.l2Chunks === 0) {
      throw new TraceFileError(
        this.path,
        'no line says anything about a cache: "Reqid: ..., Total tokens ..., LMCache hit tokens: ...", "on_lookup: conv_...", "Stored ... tokens", "Retrieved ... tokens" are known',
      );
    }
  }
}

class LookupRows {
  readonly #conversations = new ConversationTable();
  readonly #times = new TimestampParser();
  readonly #sinceFirst: (seconds: number) => number;
  #index = 0;

  constructor(sinceFirst: (seconds: number) => number) {
    this.#sinceFirst = sinceFirst;
  }

  read(line: string, lookup: Lookup): TraceRequest | 'no-time' | 'again' {
    const { outputTokens } = lookup;
    const name = lookup.conversation ?? '';
    const conversation = this.#conversations.numberOf(name);
    const turn = this.#conversations.turns(conversation);
    // Preempted requests are looked up once more.
    if (turn > 0 && lookup.turn <= this.#conversations.lastTurnLabel(conversation)) {
      return 'again';
    }
    const time = Buffer.from(lookup.time ?? TIME.exec(line)?.[1] ?? '');
    if (!this.#times.parse(time, 0, time.length)) {
      return 'no-time';
    }
    const index = this.#index;
    this.#index += 1;
    const history = this.#conversations.historyTokens(conversation);
    // Templates may cut what was thought before: a conversation never gets shorter here.
    const promptTokens = Math.max(lookup.tokens, history);
    this.#conversations.addTurn(conversation, promptTokens + outputTokens, lookup.turn);
    return {
      index,
      timeSeconds: this.#sinceFirst(this.#times.seconds),
      conversation,
      conversationId: name,
      turn,
      newTokens: promptTokens - history,
      promptTokens,
      outputTokens,
    };
  }
}

interface Lookup {
  /** null: the log does not name it. */
  readonly conversation: string | null;
  readonly turn: number;
  readonly tokens: number;
  readonly hitTokens: number;
  readonly outputTokens: number;
  /** Where it is not the line's own. */
  readonly time?: string;
}

function lookupOf(line: string): Lookup | null {
  const observed = OBSERVED.exec(line);
  if (observed !== null) {
    const [, conversation = '', turn, tokens, hitTokens] = observed;
    return { conversation, turn: Number(turn), tokens: Number(tokens), hitTokens: Number(hitTokens), outputTokens: 0 };
  }
  const replayed = REPLAYED.exec(line);
  if (replayed !== null) {
    const [, conversation = '', turn, time = '', tokens, hitTokens, outputTokens] = replayed;
    const hits = hitTokens === 'unknown' ? 0 : Number(hitTokens);
    const counts = { tokens: Number(tokens), hitTokens: hits, outputTokens: Number(outputTokens) };
    return { conversation, turn: Number(turn), time, ...counts };
  }
  const lookup = LOOKUP.exec(line);
  if (lookup === null) {
    return null;
  }
  const [, requestId = '', tokens, hitTokens] = lookup;
  const [, conversation = null, turn] = NAME.exec(requestId) ?? [];
  return {
    conversation,
    turn: Number(turn ?? 0),
    tokens: Number(tokens),
    hitTokens: Number(hitTokens),
    outputTokens: 0,
  };
}

type Writable<Facts> = { -readonly [Fact in keyof Facts]: Facts[Fact] };

function count(facts: Writable<ServerLogFacts>, line: string): void {
  facts.storedTokens += Number(STORED.exec(line)?.[1] ?? 0);
  facts.retrievedTokens += Number(RETRIEVED.exec(line)?.[1] ?? 0);
  const prefetch = PREFETCH.exec(line);
  facts.l1Chunks += Number(prefetch?.[1] ?? 0);
  facts.l2Chunks += Number(prefetch?.[2] ?? 0);
  facts.evictions += EVICTION.test(line) ? 1 : 0;
  const chunk = CHUNK.exec(line)?.[1];
  if (chunk !== undefined) {
    facts.chunkTokens = Number(chunk);
  }
}

function noFacts(): Writable<ServerLogFacts> {
  return {
    lookups: 0,
    lookupTokens: 0,
    hitTokens: 0,
    namedLookups: 0,
    storedTokens: 0,
    retrievedTokens: 0,
    l1Chunks: 0,
    l2Chunks: 0,
    evictions: 0,
    chunkTokens: null,
  };
}
