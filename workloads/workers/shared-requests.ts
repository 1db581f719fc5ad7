import type { RequestList, RoundRequest } from '../request-round.js';

/** The requests of a round in memory that threads share: bytes, and what was said of each. */
export interface SharedRequestMemory {
  /** All requests, one behind the other. */
  readonly bytes: SharedArrayBuffer;
  /** Float64: where each request ends in `bytes`. */
  readonly ends: SharedArrayBuffer;
  /** Float64. */
  readonly intendedStarts: SharedArrayBuffer;
  /** Int32. */
  readonly expectedTokens: SharedArrayBuffer;
  /** Int32: how many somebody has taken. */
  readonly taken: SharedArrayBuffer;
}

/** Copies requests to where every thread can send them from. @throws RangeError when there is no such memory */
export function shareRequests(requests: readonly RoundRequest[]): SharedRequestMemory {
  const sizes = requests.map(({ parts }) => parts.reduce((total, part) => total + part.length, 0));
  const memory = {
    bytes: new SharedArrayBuffer(sizes.reduce((total, size) => total + size, 0)),
    ends: new SharedArrayBuffer(requests.length * Float64Array.BYTES_PER_ELEMENT),
    intendedStarts: new SharedArrayBuffer(requests.length * Float64Array.BYTES_PER_ELEMENT),
    expectedTokens: new SharedArrayBuffer(requests.length * Int32Array.BYTES_PER_ELEMENT),
    taken: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
  };
  const bytes = new Uint8Array(memory.bytes);
  const ends = new Float64Array(memory.ends);
  const intendedStarts = new Float64Array(memory.intendedStarts);
  const expectedTokens = new Int32Array(memory.expectedTokens);
  let end = 0;
  for (const [index, request] of requests.entries()) {
    for (const part of request.parts) {
      bytes.set(part, end);
      end += part.length;
    }
    ends[index] = end;
    intendedStarts[index] = request.intendedStart;
    expectedTokens[index] = request.expectedTokens;
  }
  return memory;
}

/** What `shareRequests` has laid out, read by one of the threads. */
export class SharedRequests implements RequestList {
  readonly length: number;
  readonly #bytes: SharedArrayBuffer;
  readonly #ends: Float64Array;
  readonly #intendedStarts: Float64Array;
  readonly #expectedTokens: Int32Array;

  constructor(memory: SharedRequestMemory) {
    this.#bytes = memory.bytes;
    this.#ends = new Float64Array(memory.ends);
    this.#intendedStarts = new Float64Array(memory.intendedStarts);
    this.#expectedTokens = new Int32Array(memory.expectedTokens);
    this.length = this.#ends.length;
  }

  at(index: number): RoundRequest | undefined {
    const at = index < 0 ? this.length + index : index;
    const end = this.#ends[at];
    if (end === undefined) {
      return undefined;
    }
    const start = at === 0 ? 0 : (this.#ends[at - 1] ?? 0);
    const bytes = this.#bytes;
    return {
      intendedStart: this.#intendedStarts[at] ?? 0,
      expectedTokens: this.#expectedTokens[at] ?? 0,
      // Only whoever sends it needs them.
      get parts() {
        return [Buffer.from(bytes, start, end - start)];
      },
    };
  }
}
