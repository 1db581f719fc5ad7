const EMPTY = -1;
const MAX_LOAD = 0.6;

/**
 * Numbers keys from 0 in order of appearance. Keys are remembered by 64-bit fingerprints, 12 to 40 bytes each: among
 * ten million keys the chance that any two are taken for one is below 1 in 300,000.
 */
export class KeyTable {
  #low: Uint32Array;
  #high: Uint32Array;
  #numbers: Int32Array;
  #mask: number;
  #size = 0;

  constructor(initialCapacity = 1024) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, initialCapacity)));
    this.#low = new Uint32Array(capacity);
    this.#high = new Uint32Array(capacity);
    this.#numbers = new Int32Array(capacity).fill(EMPTY);
    this.#mask = capacity - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The number of a name, new or known. */
  intern(name: string): number {
    let low = 0xdeadbeef;
    let high = 0x41c6ce57;
    for (let index = 0; index < name.length; index += 1) {
      const code = name.charCodeAt(index);
      low = Math.imul(((low << 5) | (low >>> 27)) ^ code, 0x9e3779b1);
      high = Math.imul(((high << 13) | (high >>> 19)) ^ code, 0x5f356495);
    }
    return this.#find(low, high);
  }

  /** The number of what `key` names below `parent` (-1: at the top). */
  internChild(parent: number, key: number | string): number {
    if (typeof key === 'string') {
      return this.intern(`${parent}/${key}`);
    }
    const upper = Math.floor(key / 2 ** 32);
    let low = Math.imul((key | 0) ^ 0x2545f491, 0x9e3779b1);
    let high = Math.imul((key | 0) ^ 0x41c6ce57, 0x5f356495);
    low = Math.imul(low ^ upper ^ (low >>> 15), 0x85ebca6b);
    high = Math.imul(high ^ upper ^ (high >>> 13), 0xc2b2ae35);
    low = Math.imul(low ^ parent ^ (low >>> 16), 0x9e3779b1);
    high = Math.imul(high ^ parent ^ (high >>> 14), 0x5f356495);
    return this.#find(low, high);
  }

  #find(lowSeed: number, highSeed: number): number {
    const low = mix(lowSeed, highSeed);
    const high = mix(highSeed, lowSeed);
    let slot = low & this.#mask;
    for (;;) {
      const number = this.#numbers[slot] ?? EMPTY;
      if (number === EMPTY) {
        break;
      }
      if (this.#low[slot] === low && this.#high[slot] === high) {
        return number;
      }
      slot = (slot + 1) & this.#mask;
    }
    const number = this.#size;
    this.#low[slot] = low;
    this.#high[slot] = high;
    this.#numbers[slot] = number;
    this.#size += 1;
    if (this.#size > this.#mask * MAX_LOAD) {
      this.#grow();
    }
    return number;
  }

  #grow(): void {
    const [oldLow, oldHigh, oldNumbers] = [this.#low, this.#high, this.#numbers];
    const capacity = oldLow.length * 2;
    this.#low = new Uint32Array(capacity);
    this.#high = new Uint32Array(capacity);
    this.#numbers = new Int32Array(capacity).fill(EMPTY);
    this.#mask = capacity - 1;
    for (let from = 0; from < oldNumbers.length; from += 1) {
      const number = oldNumbers[from] ?? EMPTY;
      if (number !== EMPTY) {
        const low = oldLow[from] ?? 0;
        let slot = low & this.#mask;
        while (this.#numbers[slot] !== EMPTY) {
          slot = (slot + 1) & this.#mask;
        }
        this.#low[slot] = low;
        this.#high[slot] = oldHigh[from] ?? 0;
        this.#numbers[slot] = number;
      }
    }
  }
}

/** The finaliser of MurmurHash3 over both halves. */
function mix(value: number, other: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b) ^ Math.imul(other ^ (other >>> 13), 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
