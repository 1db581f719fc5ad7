import { convertText } from './argument-values.js';

/**
 * What a flag takes. `list` takes one value or more (argparse nargs="+"), `any-list` none too (nargs="*"); `toggle` is
 * `--x` / `--no-x`; `repeat` appends; `count` is vLLM's human_readable_int (`16k`, `16K`), `count-or-auto` allows -1 and
 * `auto` as well; `json` is any JSON, `config` an object whose keys are known, `object-or-text` text unless in braces;
 * `dashed-name` is written with dashes or underscores, `device-ids` separates by commas.
 */
export type FlagKind =
  | 'text'
  | 'integer'
  | 'number'
  | 'count'
  | 'count-or-auto'
  | 'json'
  | 'config'
  | 'object-or-text'
  | 'dashed-name'
  | 'device-ids'
  | 'list'
  | 'any-list'
  | 'repeat'
  | 'toggle'
  | 'switch'
  | 'help'
  | 'optional-text';

export interface FlagSpec {
  readonly kind: FlagKind;
  /** Of a list's items; text if left out. */
  readonly items?: 'integer';
  /** `''` and `None` stand for no value, and what cannot be converted is told in vLLM's words instead of argparse's. */
  readonly optional?: true;
  /** As `optional`, but without the empty values. */
  readonly wrapped?: true;
  /** Of a `config`: the name of its class. */
  readonly config?: string;
  /** Other spellings, dashes included: `-tp`. */
  readonly aliases?: readonly string[];
  readonly choices?: readonly (string | number)[];
  /** Allows `none`, or another word, where a number is asked for. */
  readonly words?: readonly string[];
}

export interface ParserSpec {
  /** As the usage line shows it: `vllm serve`. */
  readonly program: string;
  /** `usage: ...` lines without the prefix; the first for bad values, the second for unknown arguments. */
  readonly usage: { readonly own: string; readonly top: string; readonly topProgram: string };
  /** By name without dashes: `kv-transfer-config`, in the order in which the real parser declares them. */
  readonly flags: Readonly<Record<string, FlagSpec>>;
  readonly maxPositionals: number;
}

export type FlagValue = string | number | boolean | null | readonly unknown[] | Readonly<Record<string, unknown>>;

export interface ParsedArguments {
  readonly positionals: readonly string[];
  readonly values: ReadonlyMap<string, FlagValue>;
}

/** What argparse prints before it exits with code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly exitCode = 2;
}

/** The help was asked for: it is printed, and the program ends with code 0. */
export class HelpRequested extends Error {
  override readonly name = 'HelpRequested';
}

/** A value that its flag does not take. */
export class ArgumentTypeError extends Error {
  override readonly name = 'ArgumentTypeError';
}

interface Option {
  readonly name: string;
  readonly spec: FlagSpec;
  /** All spellings, as error messages join them. */
  readonly spellings: readonly string[];
}

/** An argument that begins with a dash, and the option that it means (null: none). */
interface Match {
  readonly option: Option | null;
  readonly spelling: string;
  readonly attached: string | null;
}

/**
 * Parses as Python's argparse (3.12): `--a b`, `--a=b`, `-ab`, unique prefixes, `--no-x`.
 * @throws UsageError with usage and message, as argparse prints them; HelpRequested.
 */
export function parseArguments(parser: ParserSpec, argv: readonly string[]): ParsedArguments {
  const options = optionsOf(parser);
  const separator = argv.indexOf('--');
  const end = separator < 0 ? argv.length : separator;
  // Classified before anything is converted, so that an ambiguous prefix is told first.
  const matches = argv.map((argument, index) => (index < end ? matchOption(parser, options, argument) : null));
  const values = new Map<string, FlagValue>();
  const positionals: string[] = [];
  const unknown: string[] = [];
  for (let index = 0; index < argv.length; ) {
    const argument = argv[index] ?? '';
    const match = matches[index] ?? null;
    index += 1;
    if (index - 1 === separator) continue;
    if (match === null) {
      if (positionals.length < parser.maxPositionals) positionals.push(argument);
      else unknown.push(argument);
    } else if (match.option === null) {
      unknown.push(argument);
    } else {
      let last = index;
      while (match.attached === null && last < end && matches[last] === null) last += 1;
      index += store(parser, match.option, match, argv.slice(index, last), values);
    }
  }
  if (unknown.length > 0) throw topError(parser, `unrecognized arguments: ${unknown.join(' ')}`);
  return { positionals, values };
}

function optionsOf(parser: ParserSpec): ReadonlyMap<string, Option> {
  const bySpelling = new Map<string, Option>();
  for (const [name, spec] of Object.entries(parser.flags)) {
    const long = [`--${name}`, ...(spec.aliases ?? []).filter((alias) => alias.startsWith('--'))];
    const short = (spec.aliases ?? []).filter((alias) => !alias.startsWith('--'));
    const negated = spec.kind === 'toggle' ? [`--no-${name}`] : [];
    const option = { name, spec, spellings: [...long, ...negated, ...short] };
    for (const spelling of option.spellings) bySpelling.set(spelling, option);
  }
  return bySpelling;
}

/** null: no flag. @throws UsageError where a prefix fits several. */
function matchOption(parser: ParserSpec, options: ReadonlyMap<string, Option>, argument: string): Match | null {
  if (!argument.startsWith('-') || argument.length === 1) return null;
  const exact = options.get(argument);
  if (exact !== undefined) return { option: exact, spelling: argument, attached: null };
  const equals = argument.indexOf('=');
  const head = equals < 0 ? argument : argument.slice(0, equals);
  const attached = equals < 0 ? null : argument.slice(equals + 1);
  const headed = equals < 0 ? undefined : options.get(head);
  if (headed !== undefined) return { option: headed, spelling: head, attached };
  const candidates: Match[] = [];
  const isLong = argument.startsWith('--');
  for (const [spelling, option] of options) {
    if (isLong) {
      if (spelling.startsWith(head)) candidates.push({ option, spelling, attached });
    } else if (spelling === argument.slice(0, 2)) {
      candidates.push({ option, spelling, attached: argument.slice(2) });
    } else if (spelling.startsWith(argument)) {
      candidates.push({ option, spelling, attached: null });
    }
  }
  if (candidates.length > 1) {
    const fitting = candidates.map(({ spelling }) => spelling).join(', ');
    throw ownError(parser, `ambiguous option: ${argument} could match ${fitting}`);
  }
  const [only] = candidates;
  if (only !== undefined) return only;
  if (/^-(\d+|\d*\.\d+)$/.test(argument) || argument.includes(' ')) return null;
  return { option: null, spelling: argument, attached: null };
}

/** Stores the value and returns how many of the following arguments it took. */
function store(
  parser: ParserSpec,
  option: Option,
  { spelling, attached }: Match,
  next: readonly string[],
  values: Map<string, FlagValue>,
): number {
  const { name, spec } = option;
  const refuse = (message: string) => ownError(parser, `argument ${option.spellings.join('/')}: ${message}`);
  const convert = (text: string): FlagValue => {
    try {
      return checkChoice(spec, convertText(spec, text));
    } catch (error) {
      throw error instanceof ArgumentTypeError ? refuse(error.message) : error;
    }
  };
  if (spec.kind === 'toggle' || spec.kind === 'switch' || spec.kind === 'help') {
    if (attached !== null) throw refuse(`ignored explicit argument '${attached}'`);
    if (spec.kind === 'help') throw new HelpRequested(helpText(parser));
    values.set(name, spelling !== `--no-${name}`);
    return 0;
  }
  const given = attached === null ? next : [attached];
  const [first] = given;
  if (spec.kind === 'optional-text') {
    values.set(name, first ?? true);
    return attached === null && first !== undefined ? 1 : 0;
  }
  if (spec.kind === 'any-list' || spec.kind === 'list') {
    if (first === undefined && spec.kind === 'list') throw refuse('expected at least one argument');
    values.set(name, given.map(convert));
    return attached === null ? given.length : 0;
  }
  if (first === undefined) throw refuse('expected one argument');
  if (spec.kind === 'repeat') {
    const before = values.get(name);
    values.set(name, [...(Array.isArray(before) ? before : []), first]);
  } else {
    values.set(name, convert(first));
  }
  return attached === null ? 1 : 0;
}

/** @throws ArgumentTypeError */
function checkChoice({ choices }: FlagSpec, value: FlagValue): FlagValue {
  const isAllowed = choices === undefined || choices.some((choice) => choice === value);
  if (isAllowed) return value;
  const shown = (one: unknown): string => (one === null ? 'None' : typeof one === 'string' ? `'${one}'` : String(one));
  throw new ArgumentTypeError(`invalid choice: ${shown(value)} (choose from ${choices.map(shown).join(', ')})`);
}

function helpText(parser: ParserSpec): string {
  const spellings = [...new Set(optionsOf(parser).values())].map((option) => `  ${option.spellings.join(', ')}`);
  return `usage: ${parser.usage.own}\n\noptions:\n${spellings.join('\n')}\n`;
}

/** What the parser's own program refuses. */
export function ownError(parser: ParserSpec, message: string): UsageError {
  return new UsageError(`usage: ${parser.usage.own}\n${parser.program}: error: ${message}`);
}

function topError(parser: ParserSpec, message: string): UsageError {
  return new UsageError(`usage: ${parser.usage.top}\n${parser.usage.topProgram}: error: ${message}`);
}
