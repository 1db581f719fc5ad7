const WORDS: Readonly<Record<string, string>> = {
  t: 'true',
  f: 'false',
  n: 'null',
  N: 'NaN',
  I: 'Infinity',
};
const HIGH_SURROGATE = /^d[89ab]/i;
const LOW_SURROGATE = /^d[c-f]/i;

/** Offset, in characters, of the character at which reading stopped. */
class Failure extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/**
 * What pydantic's JSON parser says of a text that is no JSON: `trailing comma at line 1 column 8`; null when it reads it
 * (it also takes NaN and Infinity).
 */
export function pydanticJsonError(text: string): string | null {
  try {
    const end = skipSpace(text, readValue(text, skipSpace(text, 0)));
    if (end < text.length) throw new Failure('trailing characters', end);
    return null;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    // An end that comes too early is told by the last character there is.
    const read = text.slice(0, Math.min(error.offset + 1, text.length));
    const line = read.split('\n').length;
    return `${error.message} at line ${line} column ${read.length - read.lastIndexOf('\n') - 1}`;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (/[ \t\n\r]/.test(text[at] ?? '')) at += 1;
  return at;
}

function endOf(text: string, what: string): Failure {
  return new Failure(`EOF while parsing ${what}`, text.length);
}

function readValue(text: string, at: number): number {
  const first = text[at];
  if (first === undefined) throw endOf(text, 'a value');
  if (first === '"') return readString(text, at);
  if (first === '{') return readItems(text, at, 'an object', '}');
  if (first === '[') return readItems(text, at, 'a list', ']');
  const word = WORDS[first];
  if (word !== undefined) return readWord(text, at, word);
  if (first === '-' && text[at + 1] === 'I') return readWord(text, at + 1, 'Infinity');
  if (first === '-' || /\d/.test(first)) return readNumber(text, at);
  throw new Failure('expected value', at);
}

function readWord(text: string, at: number, word: string): number {
  for (let index = 1; index < word.length; index += 1) {
    if (at + index >= text.length) throw endOf(text, 'a value');
    if (text[at + index] !== word[index]) throw new Failure('expected ident', at + index);
  }
  return at + word.length;
}

function readNumber(text: string, from: number): number {
  let at = text[from] === '-' ? from + 1 : from;
  const digits = (): void => {
    if (at >= text.length) throw endOf(text, 'a value');
    if (!/\d/.test(text[at] ?? '')) throw new Failure('invalid number', at);
    while (/\d/.test(text[at] ?? '')) at += 1;
  };
  const first = at;
  digits();
  if (text[first] === '0' && at > first + 1) throw new Failure('invalid number', first + 1);
  if (text[at] === '.') {
    at += 1;
    digits();
  }
  if (text[at] === 'e' || text[at] === 'E') {
    at += 1;
    if (text[at] === '+' || text[at] === '-') at += 1;
    digits();
  }
  return at;
}

function readItems(text: string, start: number, what: string, close: string): number {
  let at = skipSpace(text, start + 1);
  if (text[at] === close) return at + 1;
  if (at >= text.length) throw endOf(text, what);
  for (;;) {
    if (close === '}') at = readKey(text, at, what);
    at = skipSpace(text, readValue(text, at));
    if (text[at] === close) return at + 1;
    if (at >= text.length) throw endOf(text, what);
    if (text[at] !== ',') throw new Failure(`expected \`,\` or \`${close}\``, at);
    at = skipSpace(text, at + 1);
    if (at >= text.length) throw endOf(text, 'a value');
    if (text[at] === close) throw new Failure('trailing comma', at);
  }
}

/** Returns where the key's value begins. */
function readKey(text: string, start: number, what: string): number {
  if (text[start] !== '"') throw new Failure('key must be a string', start);
  const at = skipSpace(text, readString(text, start));
  if (at >= text.length) throw endOf(text, what);
  if (text[at] !== ':') throw new Failure('expected `:`', at);
  return skipSpace(text, at + 1);
}

function readString(text: string, start: number): number {
  let at = start + 1;
  for (;;) {
    const character = text[at];
    if (character === undefined) throw endOf(text, 'a string');
    if (character === '"') return at + 1;
    if (character < ' ') throw new Failure('control character (\\u0000-\\u001F) found while parsing a string', at);
    at = character === '\\' ? readEscape(text, at + 1) : at + 1;
  }
}

function readEscape(text: string, at: number): number {
  const character = text[at];
  if (character === undefined) throw endOf(text, 'a string');
  if (character !== 'u') {
    if (!'"\\/bfnrt'.includes(character)) throw new Failure('invalid escape', at);
    return at + 1;
  }
  const high = readHex(text, at + 1);
  if (LOW_SURROGATE.test(high)) throw new Failure('lone leading surrogate in hex escape', at + 4);
  if (!HIGH_SURROGATE.test(high)) return at + 5;
  for (const [index, expected] of [...'\\u'].entries()) {
    if (text[at + 5 + index] === undefined) throw endOf(text, 'a string');
    if (text[at + 5 + index] !== expected) throw new Failure('unexpected end of hex escape', at + 5 + index);
  }
  if (!LOW_SURROGATE.test(readHex(text, at + 7))) {
    throw new Failure('lone leading surrogate in hex escape', at + 10);
  }
  return at + 11;
}

function readHex(text: string, at: number): string {
  for (let index = at; index < at + 4; index += 1) {
    const character = text[index];
    if (character === undefined) throw endOf(text, 'a string');
    if (character === '"' && index + 1 >= text.length) throw endOf(text, 'a string');
    if (!/[0-9a-f]/i.test(character)) throw new Failure('invalid escape', index);
  }
  return text.slice(at, at + 4);
}
