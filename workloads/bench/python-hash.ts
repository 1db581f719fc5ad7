const MASK = (1n << 64n) - 1n;

const rotate = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (64n - bits))) & MASK;

/**
 * The lower 32 bits of CPython's `hash(text)` (3.11 and later: SipHash-1-3) under PYTHONHASHSEED=0, where its key is 0.
 * @param text ASCII only, not empty
 */
export function pythonHash32(text: string): number {
  const bytes = Buffer.from(text, 'latin1');
  let v0 = 0x736f6d6570736575n;
  let v1 = 0x646f72616e646f6dn;
  let v2 = 0x6c7967656e657261n;
  let v3 = 0x7465646279746573n;
  const round = (): void => {
    v0 = (v0 + v1) & MASK;
    v2 = (v2 + v3) & MASK;
    v1 = rotate(v1, 13n) ^ v0;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v1) & MASK;
    v0 = (v0 + v3) & MASK;
    v1 = rotate(v1, 17n) ^ v2;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = rotate(v2, 32n);
  };
  const whole = bytes.length - (bytes.length % 8);
  const last = Buffer.alloc(8);
  bytes.copy(last, 0, whole);
  last[7] = bytes.length & 0xff;
  for (let at = 0; at <= whole; at += 8) {
    const word = at < whole ? bytes.readBigUInt64LE(at) : last.readBigUInt64LE();
    v3 ^= word;
    round();
    v0 ^= word;
  }
  v2 ^= 0xffn;
  round();
  round();
  round();
  const hash = v0 ^ v1 ^ v2 ^ v3;
  // -1 means an error inside CPython.
  return Number((hash === MASK ? hash - 1n : hash) & 0xffffffffn);
}
