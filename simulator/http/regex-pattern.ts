import { type CharacterRange, characters, complement, literal, type Pattern } from './text-pattern.js';

/** A constraint that neither of vLLM's two backends can follow; the message is that of the second. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

const DIGITS: readonly CharacterRange[] = [[0x30, 0x39]];
const WORD: readonly CharacterRange[] = [...DIGITS, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const SPACES: readonly CharacterRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
];
const CLASSES: Readonly<Record<string, readonly CharacterRange[]>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACES,
  S: complement(SPACES),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b, a: 0x07, '0': 0 };
const NEWLINE: CharacterRange = [0x0a, 0x0a];
const POSIX: Readonly<Record<string, readonly CharacterRange[]>> = {
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  digit: DIGITS,
  alnum: [...DIGITS, [0x41, 0x5a], [0x61, 0x7a]],
  upper: [[0x41, 0x5a]],
  lower: [[0x61, 0x7a]],
  space: SPACES,
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  xdigit: [...DIGITS, [0x41, 0x46], [0x61, 0x66]],
  word: WORD,
};
/** Where characters of a Unicode property are looked for. */
const LAST_SEARCHED = 0x2fff;

/**
 * A regular expression over a whole text, as vLLM's backends for structured output read it.
 * @throws PatternError
 */
export function parseRegex(source: string): Pattern {
  const reader = new Reader(source);
  const pattern = reader.alternatives(0);
  if (!reader.isAtEnd) throw reader.failure(reader.at, reader.at + 1, 'unopened group');
  return pattern;
}

class Reader {
  readonly #source: string;
  readonly #characters: readonly string[];
  at = 0;

  constructor(source: string) {
    this.#source = source;
    this.#characters = [...source];
  }

  get isAtEnd(): boolean {
    return this.at >= this.#characters.length;
  }

  #peek(ahead = 0): string {
    return this.#characters[this.at + ahead] ?? '';
  }

  #take(text: string): boolean {
    if (this.#characters.slice(this.at, this.at + text.length).join('') !== text) return false;
    this.at += text.length;
    return true;
  }

  /** The second backend's words, which come from its parser of Rust's regular expressions. */
  failure(from: number, to: number, reason: string): PatternError {
    const marks = ' '.repeat(from) + '^'.repeat(Math.max(1, to - from));
    return this.#invalid(`regex parse error:\n    ${this.#source}\n    ${marks}\nerror: ${reason}`);
  }

  #invalid(reason: string): PatternError {
    const quoted = JSON.stringify(this.#source);
    const line = `start: /${this.#source}/`;
    return new PatternError(
      `Grammar error: at 1(8): invalid regex ${quoted} (in regex): ${reason}\n   1 | ${line}\n              ^\n`,
    );
  }

  alternatives(depth: number): Pattern {
    const options: Pattern[] = [this.#sequence(depth)];
    while (this.#take('|')) options.push(this.#sequence(depth));
    const [only] = options;
    return options.length === 1 && only !== undefined ? only : { kind: 'choice', options };
  }

  #sequence(depth: number): Pattern {
    const items: Pattern[] = [];
    while (!this.isAtEnd && this.#peek() !== '|') {
      if (this.#peek() === ')') {
        if (depth === 0) throw this.failure(this.at, this.at + 1, 'unopened group');
        break;
      }
      // The first backend leaves anchors out wherever they stand.
      if (this.#take('^') || this.#take('$')) continue;
      items.push(this.#repeated(this.#item(depth)));
    }
    return { kind: 'sequence', items };
  }

  #item(depth: number): Pattern {
    const start = this.at;
    const character = this.#peek();
    this.at += 1;
    switch (character) {
      case '(':
        return this.#group(start, depth);
      case '[':
        return characters(...this.#class(start));
      case '.':
        return characters(...complement([NEWLINE]));
      case '\\':
        return this.#escape(start);
      case '*':
      case '+':
      case '?':
        throw this.failure(start, start + 1, 'repetition operator missing expression');
      case '{':
        throw this.failure(start, start + 1, 'repetition operator missing expression');
      default:
        return literal(character);
    }
  }

  #group(start: number, depth: number): Pattern {
    if (this.#take('?')) {
      for (const kind of ['=', '!', '<=', '<!']) {
        if (this.#take(kind)) {
          const reason = 'look-around, including look-ahead and look-behind, is not supported';
          throw this.failure(start, this.at, reason);
        }
      }
      if (this.#take('P<') || this.#take('<')) while (!this.isAtEnd && !this.#take('>')) this.at += 1;
      else {
        while (/[a-zA-Z-]/.test(this.#peek())) this.at += 1;
        // Flags for what follows: which case letters have is left open, so either will do.
        if (this.#take(')')) return { kind: 'sequence', items: [] };
        if (!this.#take(':')) throw this.failure(this.at, this.at + 1, 'unrecognized flag');
      }
    }
    const inner = this.alternatives(depth + 1);
    if (!this.#take(')')) throw this.failure(start, start + 1, 'unclosed group');
    return inner;
  }

  #repeated(item: Pattern): Pattern {
    let pattern = item;
    for (;;) {
      const start = this.at;
      if (this.#take('*')) pattern = { kind: 'repeat', item: pattern, least: 0, most: null };
      else if (this.#take('+')) pattern = { kind: 'repeat', item: pattern, least: 1, most: null };
      else if (this.#take('?')) pattern = { kind: 'repeat', item: pattern, least: 0, most: 1 };
      else if (this.#take('{')) pattern = { kind: 'repeat', item: pattern, ...this.#counts(start) };
      else return pattern;
      // How greedy it is changes nothing about what fits.
      this.#take('?');
    }
  }

  #counts(start: number): { readonly least: number; readonly most: number | null } {
    const least = this.#number(start);
    if (this.#take('}')) return { least, most: least };
    if (!this.#take(',')) throw this.failure(start, this.at, 'unclosed counted repetition');
    if (this.#take('}')) return { least, most: null };
    const most = this.#number(start);
    if (!this.#take('}')) throw this.failure(start, this.at, 'unclosed counted repetition');
    if (most < least) {
      throw this.failure(start, this.at, 'invalid repetition count range, the start must be <= the end');
    }
    return { least, most };
  }

  #number(start: number): number {
    const from = this.at;
    while (/\d/.test(this.#peek())) this.at += 1;
    if (this.isAtEnd) throw this.failure(start, this.at, 'unclosed counted repetition');
    if (this.at === from) throw this.failure(from, from + 1, 'repetition quantifier expects a valid decimal');
    return Number(this.#characters.slice(from, this.at).join(''));
  }

  #escape(start: number): Pattern {
    const character = this.#peek();
    if (character === '') return literal('\\');
    if (character === 'b' || character === 'B') {
      const kind = character === 'b' ? 'WordUnicode' : 'WordUnicodeNegate';
      throw this.#invalid(`lookarounds not supported yet; ${kind} in regex /${this.#source}/`);
    }
    if (/[1-9]/.test(character)) throw this.failure(start, start + 2, 'backreferences are not supported');
    return characters(...this.#escaped(start));
  }

  /** What stands for itself after a backslash, or for others; the backslash is read. */
  #escaped(start: number): readonly CharacterRange[] {
    const character = this.#peek();
    this.at += 1;
    const known = CLASSES[character];
    if (known !== undefined) return known;
    if (character === 'p' || character === 'P') return this.#property(start, character === 'P');
    const code = this.#codePoint(character) ?? CONTROLS[character] ?? character.codePointAt(0) ?? 0x5c;
    return [[code, code]];
  }

  #codePoint(character: string): number | null {
    const rest = this.#characters.slice(this.at).join('');
    const forms: Readonly<Record<string, RegExp>> = {
      x: /^(?:([0-9a-f]{2})|\{([0-9a-f]+)\})/i,
      u: /^(?:([0-9a-f]{4})|\{([0-9a-f]+)\})/i,
    };
    const match = forms[character]?.exec(rest);
    if (!match) return null;
    this.at += match[0].length;
    return Number.parseInt(match[1] ?? match[2] ?? '0', 16);
  }

  #property(start: number, isNegated: boolean): readonly CharacterRange[] {
    let name = this.#peek();
    this.at += 1;
    if (name === '{') {
      name = '';
      while (!this.isAtEnd && !this.#take('}')) {
        name += this.#peek();
        this.at += 1;
      }
    }
    const ranges = charactersWith(name);
    if (ranges === null) throw this.failure(start, this.at, 'Unicode property not found');
    return isNegated ? complement(ranges) : ranges;
  }

  /** After its opening bracket. */
  #class(start: number): readonly CharacterRange[] {
    const isNegated = this.#take('^');
    const ranges: CharacterRange[] = [];
    for (let isFirst = true; !this.#take(']'); isFirst = false) {
      if (this.isAtEnd) throw this.failure(start, isFirst ? this.at : start + 1, 'unclosed character class');
      const from = this.at;
      const first = this.#classItem();
      const hasEnd = this.#peek() === '-' && this.#peek(1) !== ']' && this.#peek(1) !== '';
      const [only] = first;
      if (!hasEnd || first.length !== 1 || only === undefined || only[0] !== only[1]) {
        ranges.push(...first);
        continue;
      }
      this.at += 1;
      const last = this.#classItem()[0]?.[1] ?? 0;
      if (last < only[0]) {
        throw this.failure(from, this.at, 'invalid character class range, the start must be <= the end');
      }
      ranges.push([only[0], last]);
    }
    if (!isNegated && ranges.length === 0) throw this.failure(start, this.at, 'unclosed character class');
    return isNegated ? complement(ranges) : ranges;
  }

  #classItem(): readonly CharacterRange[] {
    const start = this.at;
    const named = /^\[:(\^?)(\w+):\]/.exec(this.#characters.slice(this.at).join(''));
    const posix = named === null ? undefined : POSIX[named[2] ?? ''];
    if (named !== null && posix !== undefined) {
      this.at += named[0].length;
      return named[1] === '^' ? complement(posix) : posix;
    }
    if (this.#take('\\')) return this.#escaped(start);
    const code = this.#peek().codePointAt(0) ?? 0;
    this.at += 1;
    return [[code, code]];
  }
}

/** null: there is no such property. */
function charactersWith(name: string): readonly CharacterRange[] | null {
  let test: RegExp;
  try {
    test = new RegExp(`^\\p{${name}}$`, 'u');
  } catch {
    return null;
  }
  const ranges: CharacterRange[] = [];
  for (let code = 0; code <= LAST_SEARCHED; code += 1) {
    if (test.test(String.fromCodePoint(code))) ranges.push([code, code]);
  }
  return ranges;
}
