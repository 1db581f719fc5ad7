const MILLISECONDS_FROM = 1e11;
const MICROSECONDS_FROM = 1e14;
const NANOSECONDS_FROM = 1e17;
/** Digits beyond this are below what a double of today's date can hold. */
const MAX_FRACTION_SCALE = 1e12;
const ZERO = 48;
const COLON = 58;
const PLUS = 43;
const MINUS = 45;
const POINT = 46;
const COMMA = 44;
const SPACE = 32;
const UPPER_T = 84;
const UPPER_U = 85;
const UPPER_C = 67;
const UPPER_Z = 90;

/** A point in time as a trace file writes it. */
export interface Timestamp {
  /** Seconds: since 1970 for a date, else as the file counts. */
  readonly seconds: number;
  readonly isDate: boolean;
}

/** What `parse` takes, for error messages. */
export const timestampForms =
  'a date such as 2025-05-29T05:00:00.123Z or 2025-05-29 05:00:00, or seconds (from 1e11 on: milliseconds since 1970)';

/**
 * Reads times out of bytes without making strings. A date may have a fraction of any length and a zone (`Z`, `UTC`,
 * `+02:00`, `+0200`); without one it is UTC. Numbers are seconds; from 1e11 on milliseconds, from 1e14 microseconds,
 * from 1e17 nanoseconds since 1970, since no clock that counts seconds gets that far.
 */
export class TimestampParser implements Timestamp {
  seconds = Number.NaN;
  isDate = false;
  #bytes: Buffer = Buffer.alloc(0);
  #position = 0;
  #end = 0;
  /** The day read last, as digits YYYYMMDD, and its seconds since 1970: rows of a day follow each other. */
  #knownDay = 0;
  #knownDaySeconds = 0;

  /** @returns false where this is no time; `seconds` and `isDate` are valid until the next call. */
  parse(bytes: Buffer, start: number, end: number): boolean {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    this.isDate = end - start >= 10 && bytes[start + 4] === MINUS && bytes[start + 7] === MINUS;
    this.seconds = this.isDate ? this.#date() : number(bytes.toString('latin1', start, end));
    return !Number.isNaN(this.seconds);
  }

  #date(): number {
    const year = this.#digits(4);
    this.#position += 1;
    const month = this.#digits(2);
    this.#position += 1;
    const day = this.#digits(2);
    let seconds = this.#daySeconds(year, month, day);
    if (this.#position === this.#end) {
      return seconds;
    }
    const separator = this.#next();
    if (separator !== UPPER_T && separator !== SPACE) {
      return Number.NaN;
    }
    const hours = this.#digits(2);
    const minutes = this.#next() === COLON ? this.#digits(2) : Number.NaN;
    if (!(hours < 24 && minutes < 60)) {
      return Number.NaN;
    }
    seconds += hours * 3600 + minutes * 60;
    if (this.#peek() === COLON) {
      this.#position += 1;
      const whole = this.#digits(2);
      if (!(whole <= 60)) {
        return Number.NaN;
      }
      seconds += whole + this.#fraction();
    }
    return seconds - this.#zoneSeconds();
  }

  #daySeconds(year: number, month: number, day: number): number {
    const key = year * 10_000 + month * 100 + day;
    if (key !== this.#knownDay) {
      const time = Date.UTC(year, month - 1, day);
      // 31 February would roll over into March.
      const isReal = new Date(time).getUTCMonth() === month - 1 && day >= 1;
      this.#knownDay = key;
      this.#knownDaySeconds = isReal ? time / 1000 : Number.NaN;
    }
    return this.#knownDaySeconds;
  }

  #fraction(): number {
    const mark = this.#peek();
    if (mark !== POINT && mark !== COMMA) {
      return 0;
    }
    this.#position += 1;
    let value = 0;
    let scale = 1;
    const first = this.#position;
    while (this.#position < this.#end) {
      const digit = (this.#bytes[this.#position] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) {
        break;
      }
      if (scale < MAX_FRACTION_SCALE) {
        value = value * 10 + digit;
        scale *= 10;
      }
      this.#position += 1;
    }
    return this.#position === first ? Number.NaN : value / scale;
  }

  #zoneSeconds(): number {
    if (this.#position === this.#end) {
      return 0;
    }
    if (this.#peek() === SPACE) {
      this.#position += 1;
    }
    const mark = this.#next();
    if (mark === UPPER_Z) {
      return this.#position === this.#end ? 0 : Number.NaN;
    }
    if (mark === UPPER_U) {
      return this.#next() === UPPER_T && this.#next() === UPPER_C && this.#position === this.#end ? 0 : Number.NaN;
    }
    if (mark !== PLUS && mark !== MINUS) {
      return Number.NaN;
    }
    const hours = this.#digits(2);
    if (this.#peek() === COLON) {
      this.#position += 1;
    }
    const minutes = this.#position === this.#end ? 0 : this.#digits(2);
    if (this.#position !== this.#end || !(hours <= 14 && minutes < 60)) {
      return Number.NaN;
    }
    return (mark === PLUS ? 1 : -1) * (hours * 3600 + minutes * 60);
  }

  #digits(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left -= 1) {
      const digit = this.#next() - ZERO;
      if (!(digit >= 0 && digit <= 9)) {
        return Number.NaN;
      }
      value = value * 10 + digit;
    }
    return value;
  }

  #peek(): number {
    return this.#position < this.#end ? (this.#bytes[this.#position] ?? Number.NaN) : Number.NaN;
  }

  #next(): number {
    const byte = this.#peek();
    this.#position += 1;
    return byte;
  }
}

function number(text: string): number {
  const value = /^-?\d+(\.\d*)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (value >= NANOSECONDS_FROM) {
    return value / 1e9;
  }
  if (value >= MICROSECONDS_FROM) {
    return value / 1e6;
  }
  return value >= MILLISECONDS_FROM ? value / 1e3 : value;
}
