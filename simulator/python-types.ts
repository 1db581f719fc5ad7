import { pythonRepr } from './http/python-text.js';

/**
 * A type as Python annotations write it, and pydantic checks it: `str`, `int`, `int64`, `float`, `bool`, `any`, `bytes`, `object`
 * (any dictionary), `list[T]`, `dict[T]` (keys are text), `A|B`, `'one'|'other'`, a trailing `?` for what may be None, and bounds as in
 * `int>=0` or `float>0`.
 */
export type PythonType =
  | { readonly kind: 'str' | 'float' | 'bool' | 'any' | 'bytes' }
  | { readonly kind: 'object' }
  | { readonly kind: 'int'; readonly bounds: readonly Bound[] }
  | { readonly kind: 'list'; readonly of: PythonType }
  | { readonly kind: 'dict'; readonly of: PythonType }
  | { readonly kind: 'optional'; readonly of: PythonType }
  | { readonly kind: 'literal'; readonly values: readonly (string | number)[] }
  | { readonly kind: 'union'; readonly choices: readonly PythonType[] };

interface Bound {
  readonly sign: '>=' | '>' | '<=';
  readonly limit: number;
}

/** What pydantic finds wrong with a value, and where in it. */
export interface TypeProblem {
  readonly location: readonly (string | number)[];
  readonly type: string;
  readonly message: string;
  readonly input: unknown;
  /** Python source of the context. */
  readonly context?: string;
}

/** Values out of JSON are named as JSON names them where pydantic itself has read it, as it does flags. */
export type Wording = 'python' | 'json';

const NONE: readonly TypeProblem[] = [];
const INT64: readonly Bound[] = [
  { sign: '>=', limit: -(2 ** 63) },
  { sign: '<=', limit: 2 ** 63 - 1 },
];
const TRUE_WORDS = /^(true|t|yes|y|on|1)$/i;
const FALSE_WORDS = /^(false|f|no|n|off|0)$/i;
const TOKEN = /\s*('[^']*'|-?\d+|\w+|>=|>|[[\]|?()])/gy;

/** @throws Error for a text that is no type */
export function readType(text: string): PythonType {
  const tokens = [...text.matchAll(TOKEN)].map((match) => match[1] ?? '');
  const { type, next } = readUnion(tokens, 0);
  if (next !== tokens.length || tokens.join('').length !== text.replaceAll(' ', '').length) {
    throw new Error(`"${text}" is no type`);
  }
  return type;
}

interface Read {
  readonly type: PythonType;
  readonly next: number;
}

function readUnion(tokens: readonly string[], start: number): Read {
  const values: (string | number)[] = [];
  const others: PythonType[] = [];
  let next = start - 1;
  do {
    const isGroup = tokens[next + 1] === '(';
    const read = readOne(tokens, next + 1);
    if (read.type.kind === 'literal' && !isGroup) values.push(...read.type.values);
    else others.push(read.type);
    next = read.next;
  } while (tokens[next] === '|');
  const literal: readonly PythonType[] = values.length > 0 ? [{ kind: 'literal', values }] : [];
  const joined = [...literal, ...others];
  const [only] = joined;
  return { type: joined.length === 1 && only !== undefined ? only : { kind: 'union', choices: joined }, next };
}

function readOne(tokens: readonly string[], start: number): Read {
  const read = readBare(tokens, start);
  if (tokens[read.next] !== '?') return read;
  return { type: { kind: 'optional', of: read.type }, next: read.next + 1 };
}

function readBare(tokens: readonly string[], start: number): Read {
  const token = tokens[start] ?? '';
  if (token === '(') {
    const inner = readUnion(tokens, start + 1);
    return { type: inner.type, next: inner.next + 1 };
  }
  if (token.startsWith("'")) return { type: { kind: 'literal', values: [token.slice(1, -1)] }, next: start + 1 };
  if (/^-?\d/.test(token)) return { type: { kind: 'literal', values: [Number(token)] }, next: start + 1 };
  switch (token) {
    case 'list':
    case 'dict': {
      const inner = readUnion(tokens, start + 2);
      return { type: { kind: token, of: inner.type }, next: inner.next + 1 };
    }
    case 'int64':
      return { type: { kind: 'int', bounds: INT64 }, next: start + 1 };
    case 'int': {
      const sign = tokens[start + 1];
      if (sign !== '>=' && sign !== '>') return { type: { kind: 'int', bounds: [] }, next: start + 1 };
      return { type: { kind: 'int', bounds: [{ sign, limit: Number(tokens[start + 2]) }] }, next: start + 3 };
    }
    case 'object':
      return { type: { kind: token }, next: start + 1 };
    case 'str':
    case 'float':
    case 'bool':
    case 'any':
    case 'bytes':
      return { type: { kind: token }, next: start + 1 };
    default:
      throw new Error(`"${token}" is no type`);
  }
}

/** Of the type without being made so; a false tells nothing yet. Prompts are lists of tens of thousands of numbers. */
function isPlainly(type: PythonType, value: unknown): boolean {
  switch (type.kind) {
    case 'str':
      return typeof value === 'string';
    case 'int':
      return isPlainInteger(value, type.bounds);
    case 'list': {
      const { of } = type;
      if (!Array.isArray(value)) return false;
      if (of.kind === 'int') return value.every((item) => isPlainInteger(item, of.bounds));
      return value.every((item) => isPlainly(of, item));
    }
    case 'optional':
      return value === null || isPlainly(type.of, value);
    case 'union':
      for (const choice of type.choices) if (isPlainly(choice, value)) return true;
      return false;
    default:
      return false;
  }
}

function isPlainInteger(value: unknown, bounds: readonly Bound[]): boolean {
  return typeof value === 'number' && Number.isInteger(value) && !bounds.some((bound) => breaks(value, bound));
}

/** 2 ** 63 - 1 is no number of JavaScript's: the next one stands for it. */
function breaks(value: number, { sign, limit }: Bound): boolean {
  if (sign === '>') return value <= limit;
  return sign === '>=' ? value < limit : value >= limit;
}

/** What pydantic, not being strict, finds wrong with a value; nothing: it is of the type, or can be made so. */
export function typeProblems(type: PythonType, value: unknown, wording: Wording = 'python'): readonly TypeProblem[] {
  if (isPlainly(type, value)) return NONE;
  const here = (name: string, message: string, context?: string): readonly TypeProblem[] => [
    { location: [], type: name, message, input: value, ...(context === undefined ? {} : { context }) },
  ];
  const wrongKind = (name: string, what: string) => here(name, `Input should be ${what}`);
  switch (type.kind) {
    case 'any':
      return [];
    case 'optional':
      return value === null ? [] : typeProblems(type.of, value, wording);
    case 'str':
      return typeof value === 'string' ? [] : wrongKind('string_type', 'a valid string');
    case 'bytes':
      return typeof value === 'string' ? [] : wrongKind('bytes_type', 'a valid bytes');
    case 'bool':
      return booleanProblems(value, here);
    case 'float':
      if (typeof value === 'number' || typeof value === 'boolean') return [];
      if (typeof value !== 'string') return wrongKind('float_type', 'a valid number');
      return isNumeric(value) ? [] : wrongKind('float_parsing', 'a valid number, unable to parse string as a number');
    case 'int':
      return integerProblems(value, type.bounds, here);
    case 'literal': {
      if (type.values.some((one) => one === value)) return [];
      const expected = listed(type.values.map((one) => pythonRepr(one)));
      return here('literal_error', `Input should be ${expected}`, `{'expected': ${pythonRepr(expected)}}`);
    }
    case 'list':
      if (!Array.isArray(value)) return wrongKind('list_type', wording === 'json' ? 'a valid array' : 'a valid list');
      return value.flatMap((item, index) => within(index, typeProblems(type.of, item, wording)));
    case 'object':
    case 'dict':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        return wrongKind('dict_type', wording === 'json' ? 'an object' : 'a valid dictionary');
      }
      return type.kind === 'object' ? [] : valueProblems(type.of, value, wording);
    case 'union': {
      const found = type.choices.map((choice) => ({ choice, problems: typeProblems(choice, value, wording) }));
      if (found.some(({ problems }) => problems.length === 0)) return [];
      return found.flatMap(({ choice, problems }) => within(nameOf(choice), problems));
    }
  }
}

function valueProblems(type: PythonType, values: object, wording: Wording): readonly TypeProblem[] {
  return Object.entries(values).flatMap(([key, item]) => within(key, typeProblems(type, item, wording)));
}

type Report = (name: string, message: string, context?: string) => readonly TypeProblem[];

function booleanProblems(value: unknown, report: Report): readonly TypeProblem[] {
  if (typeof value === 'boolean' || value === 0 || value === 1) return [];
  if (typeof value === 'string' && (TRUE_WORDS.test(value) || FALSE_WORDS.test(value))) return [];
  return typeof value === 'string' || Number.isInteger(value)
    ? report('bool_parsing', 'Input should be a valid boolean, unable to interpret input')
    : report('bool_type', 'Input should be a valid boolean');
}

function integerProblems(value: unknown, bounds: readonly Bound[], report: Report): readonly TypeProblem[] {
  const number = typeof value === 'boolean' ? Number(value) : isWholeText(value) ? Number(value) : value;
  if (typeof number === 'string') {
    return report('int_parsing', 'Input should be a valid integer, unable to parse string as an integer');
  }
  if (typeof number !== 'number') return report('int_type', 'Input should be a valid integer');
  if (!Number.isInteger(number)) {
    return report('int_from_float', 'Input should be a valid integer, got a number with a fractional part');
  }
  const broken = bounds.find((bound) => breaks(number, bound));
  if (broken === undefined) return [];
  const { name, words, key } = BOUND_WORDS[broken.sign];
  const limit = wholeText(broken.limit, broken.sign === '<=');
  return report(name, `Input should be ${words} ${limit}`, `{'${key}': ${limit}}`);
}

const BOUND_WORDS = {
  '>=': { name: 'greater_than_equal', words: 'greater than or equal to', key: 'ge' },
  '>': { name: 'greater_than', words: 'greater than', key: 'gt' },
  '<=': { name: 'less_than_equal', words: 'less than or equal to', key: 'le' },
};

function wholeText(limit: number, isLargestInt64: boolean): string {
  return isLargestInt64 ? '9223372036854775807' : BigInt(limit).toString();
}

function isNumeric(text: string): boolean {
  return (
    /^\s*[+-]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)(e[+-]?\d+)?\s*$/i.test(text) ||
    /^\s*[+-]?(inf(inity)?|nan)\s*$/i.test(text)
  );
}

function isWholeText(value: unknown): boolean {
  return typeof value === 'string' && /^\s*[+-]?\d+(\.0*)?\s*$/.test(value);
}

/** How pydantic calls the type where it tells what it has tried. */
function nameOf(type: PythonType): string {
  switch (type.kind) {
    case 'list':
      return `list[${nameOf(type.of)}]`;
    case 'dict':
      return `dict[str,${nameOf(type.of)}]`;
    case 'object':
      return 'dict[any,any]';
    case 'optional':
      return `nullable[${nameOf(type.of)}]`;
    case 'union':
      return `union[${type.choices.map(nameOf).join(',')}]`;
    case 'literal':
      return `literal[${type.values.map((one) => pythonRepr(one)).join(',')}]`;
    case 'int':
      return type.bounds.length === 0 ? 'int' : 'constrained-int';
    default:
      return type.kind;
  }
}

function within(key: string | number, problems: readonly TypeProblem[]): readonly TypeProblem[] {
  return problems.map((problem) => ({ ...problem, location: [key, ...problem.location] }));
}

/** `'a', 'b' or 'c'` */
export function listed(values: readonly string[]): string {
  const last = values.at(-1) ?? '';
  return values.length === 1 ? last : `${values.slice(0, -1).join(', ')} or ${last}`;
}

/** What a text of the type's kind stands for; other values as they are. */
export function coerced(type: PythonType, value: unknown): unknown {
  const plain = type.kind === 'optional' ? type.of : type;
  if (plain.kind === 'bool' && typeof value !== 'boolean' && value !== null) return TRUE_WORDS.test(String(value));
  if (plain.kind === 'int' || plain.kind === 'float') {
    return typeof value === 'string' || typeof value === 'boolean' ? Number(value) : value;
  }
  return value;
}
