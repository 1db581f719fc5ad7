/** What a flag takes. `list` takes one value or more (argparse nargs="+"), `any-list` none too (nargs="*"); `toggle` is `--x` / `--no-x`; `repeat` appends. */
export type FlagKind =
  | 'text'
  | 'integer'
  | 'number'
  | 'json'
  | 'list'
  | 'any-list'
  | 'repeat'
  | 'toggle'
  | 'switch'
  | 'optional-text';

export interface FlagSpec {
  readonly kind: FlagKind;
  /** Other spellings, dashes included: `-tp`. */
  readonly aliases?: readonly string[];
  readonly choices?: readonly string[];
  /** Allows `none`, or another word, where a number is asked for. */
  readonly words?: readonly string[];
}

export interface ParserSpec {
  /** As the usage line shows it: `vllm serve`. */
  readonly program: string;
  /** `usage: ...` lines without the prefix; the first for bad values, the second for unknown arguments. */
  readonly usage: { readonly own: string; readonly top: string; readonly topProgram: string };
  /** By name without dashes: `kv-transfer-config`. */
  readonly flags: Readonly<Record<string, FlagSpec>>;
  readonly maxPositionals: number;
}

export type FlagValue = string | number | boolean | null | readonly string[] | Readonly<Record<string, unknown>>;

export interface ParsedArguments {
  readonly positionals: readonly string[];
  readonly values: ReadonlyMap<string, FlagValue>;
}

/** What argparse prints before it exits with code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly exitCode = 2;
}

interface Found {
  readonly name: string;
  readonly spec: FlagSpec;
  readonly negated: boolean;
  /** `a.b` of `--flag.a.b`. */
  readonly path: readonly string[];
  readonly shown: string;
}

/**
 * Parses as Python's argparse with vLLM's additions: `--a b`, `--a=b`, `--a_b`, unique prefixes, `--no-x`,
 * `--json-flag.key value`. @throws UsageError with usage and message, as argparse prints them.
 */
export function parseArguments(parser: ParserSpec, argv: readonly string[]): ParsedArguments {
  const values = new Map<string, FlagValue>();
  const positionals: string[] = [];
  const unknown: string[] = [];
  let index = 0;
  while (index < argv.length) {
    const argument = argv[index] ?? '';
    index += 1;
    if (!looksLikeFlag(argument)) {
      if (positionals.length < parser.maxPositionals) positionals.push(argument);
      else unknown.push(argument);
      continue;
    }
    const equals = argument.indexOf('=');
    const flag = equals < 0 ? argument : argument.slice(0, equals);
    const attached = equals < 0 ? null : argument.slice(equals + 1);
    const found = findFlag(parser, flag);
    if (found === null) {
      unknown.push(argument);
      continue;
    }
    const next: string[] = [];
    while (attached === null && index + next.length < argv.length) {
      const candidate = argv[index + next.length] ?? '';
      if (looksLikeFlag(candidate) || candidate === '--') break;
      next.push(candidate);
    }
    index += store(parser, found, attached, next, values);
  }
  if (unknown.length > 0) throw topError(parser, `unrecognized arguments: ${unknown.join(' ')}`);
  return { positionals, values };
}

function looksLikeFlag(argument: string): boolean {
  return (
    argument.length > 1 && argument.startsWith('-') && !/^-(\d+|\d*\.\d+)$/.test(argument) && !argument.includes(' ')
  );
}

/** Stores the value and returns how many of the following arguments it took. */
function store(
  parser: ParserSpec,
  found: Found,
  attached: string | null,
  next: readonly string[],
  values: Map<string, FlagValue>,
): number {
  const { name, spec, shown } = found;
  if (spec.kind === 'toggle' || spec.kind === 'switch') {
    if (attached !== null) throw ownError(parser, `argument ${shown}: ignored explicit argument '${attached}'`);
    values.set(name, !found.negated);
    return 0;
  }
  if (spec.kind === 'optional-text' && attached === null && next.length === 0) {
    values.set(name, true);
    return 0;
  }
  if (spec.kind === 'any-list') {
    values.set(name, attached === null ? [...next] : [attached]);
    return attached === null ? next.length : 0;
  }
  const first = attached ?? next[0];
  if (first === undefined) {
    throw ownError(
      parser,
      `argument ${shown}: expected ${spec.kind === 'list' ? 'at least one argument' : 'one argument'}`,
    );
  }
  if (spec.kind === 'list') {
    const all = attached === null ? next : [attached];
    values.set(name, [...all]);
    return attached === null ? next.length : 0;
  }
  if (spec.kind === 'repeat') {
    const before = values.get(name);
    values.set(name, [...(Array.isArray(before) ? before : []), first]);
  } else if (found.path.length > 0) {
    values.set(name, withPath(values.get(name), found.path, first));
  } else {
    values.set(name, convert(parser, spec, shown, first));
  }
  return attached === null ? 1 : 0;
}

function convert(parser: ParserSpec, spec: FlagSpec, shown: string, text: string): FlagValue {
  if (spec.choices && !spec.choices.includes(text)) {
    const choices = spec.choices.map((choice) => `'${choice}'`).join(', ');
    throw ownError(parser, `argument ${shown}: invalid choice: '${text}' (choose from ${choices})`);
  }
  if (spec.words?.includes(text.toLowerCase())) return text.toLowerCase();
  switch (spec.kind) {
    case 'integer':
      if (!/^[+-]?\d+$/.test(text)) throw ownError(parser, `argument ${shown}: invalid int value: '${text}'`);
      return Number(text);
    case 'number': {
      const value = Number(text);
      if (text.trim() === '' || Number.isNaN(value)) {
        throw ownError(parser, `argument ${shown}: invalid float value: '${text}'`);
      }
      return value;
    }
    case 'json':
      try {
        const parsed: unknown = JSON.parse(text);
        return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : text;
      } catch {
        throw ownError(parser, `argument ${shown}: Value ${text} cannot be converted to <function loads>.`);
      }
    default:
      return text;
  }
}

function findFlag(parser: ParserSpec, written: string): Found | null {
  const [head = '', ...path] = written.split('.');
  const direct = (flag: string): Found | null => {
    for (const [name, spec] of Object.entries(parser.flags)) {
      const shown = [...(spec.aliases ?? []), `--${name}`].join('/');
      if (flag === `--${name}` || spec.aliases?.includes(flag)) return { name, spec, negated: false, path: [], shown };
      if (spec.kind === 'toggle' && flag === `--no-${name}`) return { name, spec, negated: true, path: [], shown };
    }
    return null;
  };
  const flag = head.startsWith('--') ? `--${head.slice(2).replaceAll('_', '-')}` : head;
  const exact = direct(flag);
  if (exact !== null) return path.length > 0 && exact.spec.kind !== 'json' ? null : { ...exact, path };
  if (!flag.startsWith('--')) return null;
  const candidates = allSpellings(parser).filter((name) => name.startsWith(flag));
  if (candidates.length > 1) {
    throw ownError(parser, `ambiguous option: ${written} could match ${candidates.join(', ')}`);
  }
  const [only] = candidates;
  const abbreviated = only === undefined ? null : direct(only);
  return abbreviated === null ? null : { ...abbreviated, path };
}

function allSpellings(parser: ParserSpec): string[] {
  return Object.entries(parser.flags).flatMap(([name, spec]) =>
    spec.kind === 'toggle' ? [`--${name}`, `--no-${name}`] : [`--${name}`],
  );
}

function withPath(
  before: FlagValue | undefined,
  path: readonly string[],
  text: string,
): Readonly<Record<string, unknown>> {
  const root: Record<string, unknown> =
    typeof before === 'object' && before !== null && !Array.isArray(before) ? { ...before } : {};
  const [key = '', ...rest] = path;
  if (rest.length === 0) root[key] = jsonOrText(text);
  else {
    const inner = root[key];
    const nested: FlagValue | undefined = typeof inner === 'object' && inner !== null ? { ...inner } : undefined;
    root[key] = withPath(nested, rest, text);
  }
  return root;
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function ownError(parser: ParserSpec, message: string): UsageError {
  return new UsageError(`usage: ${parser.usage.own}\n${parser.program}: error: ${message}`);
}

function topError(parser: ParserSpec, message: string): UsageError {
  return new UsageError(`usage: ${parser.usage.top}\n${parser.usage.topProgram}: error: ${message}`);
}
