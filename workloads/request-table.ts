import type { RequestFailure, RequestRecord } from './request.js';

/** Token times are kept in blocks of so many: each has its memory for itself. */
const TIMES_A_BLOCK = 64 * 1024;
const NOTHING = -1;

const MISSING = 0;
const ADDED = 1;

/**
 * The requests of a round in columns, 95 bytes each and 8 for each token, added in any order: what a run of any length
 * must keep for exact percentiles. Objects are made of them when they are asked for.
 */
export class RequestTable {
  /** Requests that the round has; those not added yet are passed over. */
  readonly capacity: number;
  readonly #state: Uint8Array;
  readonly #intendedStart: Float64Array;
  readonly #readyAt: Float64Array;
  readonly #sentAt: Float64Array;
  readonly #bodySentAt: Float64Array;
  readonly #headersAt: Float64Array;
  readonly #firstByteAt: Float64Array;
  readonly #firstTokenAt: Float64Array;
  readonly #endedAt: Float64Array;
  readonly #status: Int32Array;
  readonly #promptTokens: Int32Array;
  readonly #completionTokens: Int32Array;
  readonly #cachedTokens: Int32Array;
  readonly #finishReason: Int16Array;
  readonly #finishReasons: string[] = [];
  readonly #tokens: TimeBlocks;
  readonly #texts = new Map<number, string>();
  readonly #failures = new Map<number, RequestFailure>();

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#state = new Uint8Array(capacity);
    this.#intendedStart = new Float64Array(capacity);
    this.#readyAt = new Float64Array(capacity);
    this.#sentAt = new Float64Array(capacity);
    this.#bodySentAt = new Float64Array(capacity);
    this.#headersAt = new Float64Array(capacity);
    this.#firstByteAt = new Float64Array(capacity);
    this.#firstTokenAt = new Float64Array(capacity);
    this.#endedAt = new Float64Array(capacity);
    this.#status = new Int32Array(capacity);
    this.#promptTokens = new Int32Array(capacity);
    this.#completionTokens = new Int32Array(capacity);
    this.#cachedTokens = new Int32Array(capacity);
    this.#finishReason = new Int16Array(capacity);
    this.#tokens = new TimeBlocks(capacity);
  }

  /** A table of all these, whose indexes count from 0 without a gap. */
  static of(records: readonly RequestRecord[]): RequestTable {
    const table = new RequestTable(records.length);
    for (const record of records) {
      table.add(record, true);
    }
    return table;
  }

  /** Under the record's own index. @param keepsText false: the text is left out */
  add(record: RequestRecord, keepsText: boolean): void {
    const { index, outcome } = record;
    this.#intendedStart[index] = record.intendedStart;
    this.#readyAt[index] = record.readyAt;
    this.#sentAt[index] = record.sentAt ?? Number.NaN;
    this.#bodySentAt[index] = record.bodySentAt ?? Number.NaN;
    this.#headersAt[index] = record.headersAt ?? Number.NaN;
    this.#firstByteAt[index] = record.firstByteAt ?? Number.NaN;
    this.#firstTokenAt[index] = record.firstTokenAt ?? Number.NaN;
    this.#endedAt[index] = record.endedAt;
    this.#status[index] = record.status ?? NOTHING;
    this.#promptTokens[index] = record.promptTokens ?? NOTHING;
    this.#completionTokens[index] = record.completionTokens ?? NOTHING;
    this.#cachedTokens[index] = record.cachedTokens ?? NOTHING;
    this.#finishReason[index] = record.finishReason === null ? NOTHING : this.#numberOf(record.finishReason);
    this.#tokens.set(index, record.tokenTimes);
    if (keepsText && record.text !== '') {
      this.#texts.set(index, record.text);
    }
    if (outcome.state === 'failed') {
      this.#failures.set(index, outcome);
    }
    this.#state[index] = ADDED;
  }

  /** Its `tokenTimes` are a view of the table's. Undefined where that request was not added. */
  at(index: number): RequestRecord | undefined {
    const state = this.#state[index] ?? MISSING;
    if (state === MISSING) {
      return undefined;
    }
    const failure = this.#failures.get(index);
    return {
      index,
      intendedStart: this.#intendedStart[index] ?? 0,
      readyAt: this.#readyAt[index] ?? 0,
      sentAt: timeOrNull(this.#sentAt[index]),
      bodySentAt: timeOrNull(this.#bodySentAt[index]),
      headersAt: timeOrNull(this.#headersAt[index]),
      firstByteAt: timeOrNull(this.#firstByteAt[index]),
      firstTokenAt: timeOrNull(this.#firstTokenAt[index]),
      tokenTimes: this.#tokens.at(index),
      endedAt: this.#endedAt[index] ?? 0,
      status: countOrNull(this.#status[index]),
      promptTokens: countOrNull(this.#promptTokens[index]),
      completionTokens: countOrNull(this.#completionTokens[index]),
      cachedTokens: countOrNull(this.#cachedTokens[index]),
      finishReason: this.#finishReasons[this.#finishReason[index] ?? NOTHING] ?? null,
      text: this.#texts.get(index) ?? '',
      outcome: failure === undefined ? { state: 'ok' } : { state: 'failed', ...failure },
    };
  }

  /** In the order of their indexes, each made when it is its turn. */
  *[Symbol.iterator](): Generator<RequestRecord, void> {
    for (let index = 0; index < this.capacity; index += 1) {
      const record = this.at(index);
      if (record !== undefined) {
        yield record;
      }
    }
  }

  /** Of those that are meant, ascending. */
  indexes(isMeant: (record: RequestRecord) => boolean): number[] {
    const indexes: number[] = [];
    for (const record of this) {
      if (isMeant(record)) {
        indexes.push(record.index);
      }
    }
    return indexes;
  }

  /** How many were added. */
  get size(): number {
    return this.#state.reduce((count, state) => count + (state === MISSING ? 0 : 1), 0);
  }

  /** Of all requests. */
  get tokenTimes(): number {
    return this.#tokens.total;
  }

  /** In the order of their indexes. */
  failures(): RequestFailure[] {
    return [...this.#failures].sort(([a], [b]) => a - b).map(([, failure]) => failure);
  }

  /**
   * `readyAt` of all as one thread would have it: with a limit, request number n of a round takes the place that became
   * free as number n. Several threads only know of the places of their own.
   * @param limit requests in flight at most
   * @param freeAt when the first places were free
   */
  settleReadyTimes(limit: number, freeAt: number): void {
    const endings = this.#endedAt.filter((_, index) => this.#state[index] !== MISSING).sort();
    for (let index = 0; index < this.capacity; index += 1) {
      // Those that never left have no lag.
      if (this.#state[index] !== MISSING && !Number.isNaN(this.#sentAt[index] ?? Number.NaN)) {
        const placeFreeAt = index < limit ? freeAt : (endings[index - limit] ?? freeAt);
        this.#readyAt[index] = Math.max(this.#intendedStart[index] ?? 0, placeFreeAt);
      }
    }
  }

  #numberOf(finishReason: string): number {
    const known = this.#finishReasons.indexOf(finishReason);
    return known >= 0 ? known : this.#finishReasons.push(finishReason) - 1;
  }
}

/** Lists of times, each in one piece. */
class TimeBlocks {
  readonly #blocks: Float64Array[] = [];
  readonly #block: Int32Array;
  readonly #start: Int32Array;
  readonly #count: Int32Array;
  /** Used of the last block. */
  #used = 0;
  /** Of all lists. */
  total = 0;

  constructor(lists: number) {
    this.#block = new Int32Array(lists);
    this.#start = new Int32Array(lists);
    this.#count = new Int32Array(lists);
  }

  set(index: number, times: Float64Array): void {
    let block = this.#blocks.at(-1);
    if (block === undefined || block.length - this.#used < times.length) {
      block = new Float64Array(Math.max(TIMES_A_BLOCK, times.length));
      this.#blocks.push(block);
      this.#used = 0;
    }
    block.set(times, this.#used);
    this.#block[index] = this.#blocks.length - 1;
    this.#start[index] = this.#used;
    this.#count[index] = times.length;
    this.#used += times.length;
    this.total += times.length;
  }

  at(index: number): Float64Array {
    const start = this.#start[index] ?? 0;
    return this.#blocks[this.#block[index] ?? 0]?.subarray(start, start + (this.#count[index] ?? 0)) ?? NONE;
  }
}

const NONE = new Float64Array(0);

function timeOrNull(time: number | undefined): number | null {
  return time === undefined || Number.isNaN(time) ? null : time;
}

function countOrNull(count: number | undefined): number | null {
  return count === undefined || count === NOTHING ? null : count;
}
