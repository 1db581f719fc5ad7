/** Below this a loop is faster than a native copy, which needs a view object. */
const SMALL = 64;

/** Bytes that grow by doubling; `clear` keeps the memory for the next use. */
export class GrowableBytes {
  bytes: Uint8Array;
  length = 0;

  constructor(initialCapacity: number) {
    // Small ones share a slab: memory of its own for each would cost more than what is done with it.
    this.bytes = Buffer.allocUnsafe(initialCapacity);
  }

  append(source: Uint8Array, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.bytes.length) {
      this.#grow(needed);
    }
    if (end - start < SMALL) {
      let to = this.length;
      for (let from = start; from < end; from += 1) {
        this.bytes[to] = source[from] ?? 0;
        to += 1;
      }
    } else {
      this.bytes.set(source.subarray(start, end), this.length);
    }
    this.length = needed;
  }

  appendByte(value: number): void {
    if (this.length === this.bytes.length) {
      this.#grow(this.length + 1);
    }
    this.bytes[this.length] = value;
    this.length += 1;
  }

  clear(): void {
    this.length = 0;
  }

  /** As UTF-8; malformed sequences become U+FFFD. */
  text(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.length).toString('utf8');
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

/** Float64 values that grow by doubling. */
export class GrowableTimes {
  #values: Float64Array;
  length = 0;

  constructor(initialCapacity: number) {
    this.#values = new Float64Array(Math.max(1, initialCapacity));
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length] = value;
    this.length += 1;
  }

  /** NaN beyond the end. */
  at(index: number): number {
    return index < this.length ? (this.#values[index] ?? Number.NaN) : Number.NaN;
  }

  clear(): void {
    this.length = 0;
  }
}
