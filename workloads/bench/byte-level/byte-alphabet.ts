/** GPT-2's alphabet: every byte as one printable character, by character code; -1: no byte. */
const bytesByCharacter = new Int16Array(0x144).fill(-1);
const characterOfByte: string[] = [];

{
  let next = 0x100;
  for (let byte = 0; byte < 256; byte += 1) {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const code = isPrintable ? byte : next;
    next += isPrintable ? 0 : 1;
    bytesByCharacter[code] = byte;
    characterOfByte.push(String.fromCharCode(code));
  }
}

/** -1: none of the alphabet. */
export function byteOfCharacter(code: number): number {
  return bytesByCharacter[code] ?? -1;
}

/** The token of a byte-level vocabulary that stands for these bytes. */
export function tokenOfBytes(bytes: Uint8Array, length: number): string {
  let token = '';
  for (let index = 0; index < length; index += 1) {
    token += characterOfByte[bytes[index] ?? 0];
  }
  return token;
}
