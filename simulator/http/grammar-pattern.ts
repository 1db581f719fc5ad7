import { PatternError, parseRegex } from './regex-pattern.js';
import { literal, type Pattern, type Rules } from './text-pattern.js';

export interface Grammar {
  readonly root: Pattern;
  readonly rules: Rules;
}

/** As much of the text as errors show on either side. */
const SHOWN = 20;

/**
 * A grammar in llama.cpp's form (`root ::= "a" [a-z]+ | rule`), or in that of Lark (`start: "a" | rule`), of which literals,
 * regular expressions, rules, groups and repetitions are read.
 * @throws PatternError in the words of vLLM's second backend
 */
export function parseGrammar(text: string): Grammar {
  const reader = new GrammarReader(text, isLark(text));
  const rules = reader.rules();
  const names = [...rules.keys()];
  const root = reader.isLark ? (names.includes('start') ? 'start' : names[0]) : names.find((name) => name === 'root');
  if (root === undefined) throw conversionError("No 'root' rule found");
  return { root: { kind: 'rule', name: root }, rules };
}

/** Neither backend takes every text for Lark's that is: a leading `?` goes with a conversion that knows no regular expressions. */
function isLark(text: string): boolean {
  if (text.split('\n').some((line) => line.replace(/(#|\/\/).*$/, '').includes('::='))) return false;
  return /^\s*\w+\s*:/.test(text) || (/^\s*\?\w+\s*:/.test(text) && !text.includes('/'));
}

function conversionError(reason: string): PatternError {
  return new PatternError(`Failed to convert the grammar from GBNF to Lark: ${reason}`);
}

class GrammarReader {
  readonly isLark: boolean;
  readonly #text: string;
  #at = 0;
  /** Rules that others name, and where. */
  readonly #wanted: { readonly name: string; readonly at: number }[] = [];

  constructor(text: string, isLark: boolean) {
    this.#text = text;
    this.isLark = isLark;
  }

  rules(): Rules {
    const rules = new Map<string, Pattern>();
    for (this.#skip(true); this.#at < this.#text.length; this.#skip(true)) {
      if (this.isLark) this.#take('?');
      const name = this.#name();
      this.#skip(false);
      const sign = this.isLark ? ':' : '::=';
      if (!this.#take(sign)) throw this.#failure(`Expected ${sign}`);
      this.#skip(true);
      rules.set(name, this.#alternatives(false));
    }
    const missing = this.#wanted.find(({ name }) => !rules.has(name));
    if (missing === undefined) return rules;
    throw this.isLark ? this.#unknownName(missing) : conversionError(`Rule '${missing.name}' not found`);
  }

  #unknownName({ name, at }: { readonly name: string; readonly at: number }): PatternError {
    const lines = this.#text.slice(0, at).split('\n');
    const column = lines.at(-1)?.length ?? 0;
    const margin = `${String(lines.length).padStart(4)} | `;
    const line = this.#text.split('\n')[lines.length - 1] ?? '';
    const mark = ' '.repeat(margin.length + column);
    return new PatternError(
      `Grammar error: at ${lines.length}(${column + 1}): unknown name: "${name}"\n${margin}${line}\n${mark}^\n`,
    );
  }

  #failure(reason: string): PatternError {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    const before = this.#text.slice(Math.max(0, this.#at - SHOWN), this.#at);
    const after = this.#text.slice(this.#at, this.#at + SHOWN);
    return conversionError(`${reason} at line ${line}, ${shown(before)} ^ ${shown(after)}`);
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** Spaces and comments; ends of lines too where a rule cannot end. */
  #skip(overLines: boolean): void {
    const space = overLines ? /(?:\s|#[^\n]*|\/\/[^\n]*)*/y : /(?:[ \t]|#[^\n]*|\/\/[^\n]*)*/y;
    space.lastIndex = this.#at;
    space.exec(this.#text);
    this.#at = space.lastIndex;
  }

  #name(): string {
    const name = /[A-Za-z_][\w.-]*/y;
    name.lastIndex = this.#at;
    const [found] = name.exec(this.#text) ?? [];
    if (found === undefined) throw this.#failure('Expected name');
    this.#at += found.length;
    return found;
  }

  #alternatives(isNested: boolean): Pattern {
    const options = [this.#sequence(isNested)];
    for (;;) {
      const before = this.#at;
      this.#skip(true);
      if (!this.#take('|')) {
        this.#at = isNested ? this.#at : before;
        break;
      }
      this.#skip(true);
      options.push(this.#sequence(isNested));
    }
    return { kind: 'choice', options };
  }

  #sequence(isNested: boolean): Pattern {
    const items: Pattern[] = [];
    for (this.#skip(isNested); !this.#isEndOfSequence(); this.#skip(isNested)) {
      const item = this.#item();
      items.push(this.#repeated(item));
    }
    return { kind: 'sequence', items };
  }

  #isEndOfSequence(): boolean {
    const next = this.#text[this.#at];
    return next === undefined || next === '\n' || next === '\r' || next === '|' || next === ')';
  }

  #item(): Pattern {
    const quote = this.#text[this.#at];
    if (quote === '"' || (this.isLark && quote === "'")) return literal(this.#string(quote));
    if (quote === '[') return this.#class();
    if (this.isLark && quote === '/') return this.#regex();
    if (this.#take('(')) {
      const inner = this.#alternatives(true);
      this.#skip(true);
      if (!this.#take(')')) throw this.#failure("Expected ')'");
      return inner;
    }
    const at = this.#at;
    const name = this.#name();
    this.#wanted.push({ name, at });
    return { kind: 'rule', name };
  }

  #string(quote: string): string {
    const end = this.#endOf(quote);
    const body = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return body.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/gs, (_, escaped: string) => unescaped(escaped));
  }

  #class(): Pattern {
    const end = this.#endOf(']');
    const body = this.#text.slice(this.#at, end + 1);
    this.#at = end + 1;
    return parseRegex(body);
  }

  #regex(): Pattern {
    const end = this.#endOf('/');
    const body = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    while (/[imslux]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    return parseRegex(body);
  }

  /** Where the character stands that ends what begins here. */
  #endOf(character: string): number {
    for (let at = this.#at + 1; at < this.#text.length; at += 1) {
      if (this.#text[at] === '\\') at += 1;
      else if (this.#text[at] === character) return at;
    }
    this.#at = this.#text.length;
    throw this.#failure('Unexpected end of input');
  }

  #repeated(item: Pattern): Pattern {
    if (this.#take('*')) return { kind: 'repeat', item, least: 0, most: null };
    if (this.#take('+')) return { kind: 'repeat', item, least: 1, most: null };
    if (this.#take('?')) return { kind: 'repeat', item, least: 0, most: 1 };
    if (this.isLark || !this.#take('{')) return item;
    const least = this.#digits();
    if (this.#take('}')) return { kind: 'repeat', item, least, most: least };
    if (!this.#take(',')) throw this.#failure("Expected ',' or '}'");
    if (this.#take('}')) return { kind: 'repeat', item, least, most: null };
    const most = this.#digits();
    if (!this.#take('}')) throw this.#failure("Expected '}'");
    return { kind: 'repeat', item, least, most };
  }

  #digits(): number {
    const from = this.#at;
    while (/\d/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    if (this.#at === from) throw this.#failure('Expected integer');
    return Number(this.#text.slice(from, this.#at));
  }
}

function unescaped(escaped: string): string {
  if (/^[xu]./.test(escaped)) return String.fromCodePoint(Number.parseInt(escaped.slice(1), 16));
  const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };
  return controls[escaped] ?? escaped;
}

/** As Python's repr() shows it. */
function shown(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(quote, `\\${quote}`);
  return quote + escaped + quote;
}
