/** Where and why Python's json module stops reading a document. */
export interface JsonError {
  readonly message: string;
  /** Offset in characters. */
  readonly position: number;
}

const WHITESPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS = ['null', 'true', 'false', 'NaN', 'Infinity', '-Infinity'];

class Failure extends Error {
  readonly position: number;
  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

/**
 * The error Python's json.loads reports for a text that is no JSON (messages and positions of CPython's decoder).
 * Only for texts that JSON.parse has refused.
 */
export function pythonJsonError(text: string): JsonError {
  try {
    const end = skipSpace(text, readValue(text, skipSpace(text, 0)));
    return { message: 'Extra data', position: end };
  } catch (error) {
    if (error instanceof Failure) return { message: error.message, position: error.position };
    throw error;
  }
}

/** The whole of that error: `Expecting value: line 1 column 1 (char 0)`. */
export function decodeError(text: string): string {
  const { message, position } = pythonJsonError(text);
  const before = text.slice(0, position);
  const line = before.split('\n').length;
  return `${message}: line ${line} column ${position - before.lastIndexOf('\n')} (char ${position})`;
}

function skipSpace(text: string, position: number): number {
  WHITESPACE.lastIndex = position;
  WHITESPACE.exec(text);
  return WHITESPACE.lastIndex;
}

function readValue(text: string, position: number): number {
  const character = text[position];
  if (character === '"') return readString(text, position);
  if (character === '{') return readObject(text, position);
  if (character === '[') return readArray(text, position);
  const word = WORDS.find((candidate) => text.startsWith(candidate, position));
  if (word !== undefined) return position + word.length;
  NUMBER.lastIndex = position;
  if (NUMBER.exec(text) !== null) return NUMBER.lastIndex;
  throw new Failure('Expecting value', position);
}

function readString(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position += 1) {
    const character = text[position];
    if (character === '"') return position + 1;
    if (character === '\\') {
      position += 1;
      const escaped = text[position] ?? '';
      if (escaped === '') break;
      if (escaped === 'u') {
        if (!/^[0-9a-fA-F]{4}/.test(text.slice(position + 1))) throw new Failure('Invalid \\uXXXX escape', position);
        position += 4;
      } else if (!'"\\/bfnrt'.includes(escaped)) throw new Failure('Invalid \\escape', position - 1);
    } else if (character !== undefined && character < ' ') throw new Failure('Invalid control character at', position);
  }
  throw new Failure('Unterminated string starting at', start);
}

function readObject(text: string, start: number): number {
  let position = skipSpace(text, start + 1);
  if (text[position] === '}') return position + 1;
  for (;;) {
    if (text[position] !== '"') {
      throw new Failure('Expecting property name enclosed in double quotes', position);
    }
    position = skipSpace(text, readString(text, position));
    if (text[position] !== ':') throw new Failure("Expecting ':' delimiter", position);
    position = skipSpace(text, readValue(text, skipSpace(text, position + 1)));
    if (text[position] === '}') return position + 1;
    if (text[position] !== ',') throw new Failure("Expecting ',' delimiter", position);
    position = skipSpace(text, position + 1);
  }
}

function readArray(text: string, start: number): number {
  let position = skipSpace(text, start + 1);
  if (text[position] === ']') return position + 1;
  for (;;) {
    position = skipSpace(text, readValue(text, position));
    if (text[position] === ']') return position + 1;
    if (text[position] !== ',') throw new Failure("Expecting ',' delimiter", position);
    position = skipSpace(text, position + 1);
  }
}
