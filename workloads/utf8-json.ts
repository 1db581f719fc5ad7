const QUOTE = 34;
const BACKSLASH = 92;
const LETTER_U = 117;
const ZERO = 48;
/** U+FFFD. */
const REPLACEMENT = [0xef, 0xbf, 0xbd] as const;
/** \b \t \n \f \r; 0: none. */
const SHORT_ESCAPES = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 98, 116, 110, 0, 102, 114);
const HEX = Buffer.from('0123456789abcdef');
/** No byte becomes more than \u001f. */
const LARGEST_ESCAPE = 6;

let scratch = Buffer.allocUnsafeSlow(4096);

/**
 * A text in UTF-8 as a JSON string, the bytes of `JSON.stringify(Buffer.toString('utf8'))` without the two strings in
 * between: malformed sequences become U+FFFD, one for each maximal part of one (Unicode 15, section 3.9).
 */
export function utf8ToJson(bytes: Uint8Array): Buffer {
  const needed = bytes.length * LARGEST_ESCAPE + 2;
  if (scratch.length < needed) {
    scratch = Buffer.allocUnsafeSlow(needed);
  }
  const out = scratch;
  out[0] = QUOTE;
  let to = 1;
  let from = 0;
  while (from < bytes.length) {
    const byte = bytes[from] ?? 0;
    if (byte >= 0x80) {
      const length = sequenceLength(bytes, from);
      const isWhole = length > 0;
      const size = isWhole ? length : -length;
      for (let index = 0; index < (isWhole ? size : REPLACEMENT.length); index += 1) {
        out[to] = (isWhole ? bytes[from + index] : REPLACEMENT[index]) ?? 0;
        to += 1;
      }
      from += size;
    } else {
      from += 1;
      if (byte >= 32 && byte !== QUOTE && byte !== BACKSLASH) {
        out[to] = byte;
        to += 1;
      } else {
        to = writeEscape(byte, out, to);
      }
    }
  }
  out[to] = QUOTE;
  // Not from the slab that short-lived buffers share: those would be kept with it.
  const json = Buffer.allocUnsafeSlow(to + 1);
  out.copy(json, 0, 0, to + 1);
  return json;
}

function writeEscape(byte: number, out: Buffer, start: number): number {
  let to = start;
  out[to++] = BACKSLASH;
  const short = SHORT_ESCAPES[byte] ?? 0;
  if (byte >= 32 || short > 0) {
    out[to++] = byte >= 32 ? byte : short;
    return to;
  }
  out[to++] = LETTER_U;
  out[to++] = ZERO;
  out[to++] = ZERO;
  out[to++] = HEX[byte >> 4] ?? ZERO;
  out[to++] = HEX[byte & 15] ?? ZERO;
  return to;
}

/** Bytes of the sequence that begins here; negative: so many belong to a malformed one. */
function sequenceLength(bytes: Uint8Array, start: number): number {
  const lead = bytes[start] ?? 0;
  const length =
    lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 1;
  if (length === 1) {
    return -1;
  }
  // Overlong forms, surrogates and what is beyond U+10FFFF show in the second byte.
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  for (let index = 1; index < length; index += 1) {
    const byte = bytes[start + index] ?? 0;
    if (byte < (index === 1 ? least : 0x80) || byte > (index === 1 ? most : 0xbf)) {
      return -index;
    }
  }
  return length;
}
