import { ArgumentTypeError, type FlagSpec, type FlagValue } from './argparse.js';
import { checkConfig } from './config-argument.js';

/** Python's int(): spaces around, a sign, underscores between digits. */
const INTEGER = /^\s*[+-]?\d+(?:_\d+)*\s*$/;
const FLOAT =
  /^\s*[+-]?(?:(?:\d+(?:_\d+)*\.?|\d*(?:_\d+)*\.\d+(?:_\d+)*|\d+(?:_\d+)*\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)\s*$/i;
const SUFFIXED = /^(\d+(?:\.\d+)?)([kKmMgGtT])$/;
const FACTORS: Readonly<Record<string, number>> = {
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** How argparse names a converter: by its name where it raises itself, and as vLLM's wrapper of it prints it. */
interface Converter {
  readonly name: string;
  readonly shown: string;
  /** undefined: no such value. */
  read(text: string): FlagValue | undefined;
}

const INT: Converter = { name: 'int', shown: "<class 'int'>", read: pythonInt };
const FLOATING: Converter = { name: 'float', shown: "<class 'float'>", read: pythonNumber };
const JSON_VALUE: Converter = { name: 'loads', shown: '<function loads>', read: pythonJson };
const COUNT: Converter = {
  name: 'human_readable_int',
  shown: '<function human_readable_int>',
  read: humanReadableInt,
};
const COUNT_OR_AUTO: Converter = {
  name: 'human_readable_int_or_auto',
  shown: '<function human_readable_int_or_auto>',
  read: (text) => (/^(-1|auto)$/i.test(text.trim()) ? -1 : humanReadableInt(text)),
};

/**
 * The value a flag's text stands for.
 * @throws ArgumentTypeError in the words of argparse and of vLLM's converters.
 */
export function convertText(spec: FlagSpec, text: string): FlagValue {
  if (spec.optional && (text === '' || text === 'None')) return null;
  if (spec.words?.includes(text.toLowerCase())) return text.toLowerCase();
  const kind = spec.items ?? spec.kind;
  switch (kind) {
    case 'integer':
      return convert(INT, spec, text);
    case 'number':
      return convert(FLOATING, spec, text);
    case 'count':
      return convert(COUNT, spec, text);
    case 'count-or-auto':
      return convert(COUNT_OR_AUTO, spec, text);
    case 'json':
      return convert(JSON_VALUE, spec, text);
    case 'config':
      return checkConfig(spec.config ?? '', withPlainNumbers(text));
    case 'object-or-text':
      if (!isBraced(text.trim())) return text;
      return convert(JSON_VALUE, { ...spec, wrapped: true }, text);
    case 'dashed-name':
      return text.toLowerCase().replaceAll('-', '_');
    case 'device-ids':
      return text.split(',').map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : part.trim()));
    default:
      return text;
  }
}

function convert(converter: Converter, { optional, wrapped }: FlagSpec, text: string): FlagValue {
  const value = converter.read(text);
  if (value !== undefined) return value;
  if (optional || wrapped) throw new ArgumentTypeError(`Value ${text} cannot be converted to ${converter.shown}.`);
  throw new ArgumentTypeError(`invalid ${converter.name} value: '${text}'`);
}

function isBraced(text: string): boolean {
  return text.startsWith('{') && text.endsWith('}') && text.length > 1;
}

function pythonInt(text: string): number | undefined {
  return INTEGER.test(text) ? Number(text.replaceAll('_', '')) : undefined;
}

function pythonNumber(text: string): number | undefined {
  if (!FLOAT.test(text)) return undefined;
  const plain = text.trim().replaceAll('_', '').toLowerCase();
  if (plain.endsWith('nan')) return Number.NaN;
  if (!plain.includes('inf')) return Number(plain);
  return plain.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function pythonJson(text: string): FlagValue | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFlagValue(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isFlagValue(value: unknown): value is FlagValue {
  return value === null || ['string', 'number', 'boolean', 'object'].includes(typeof value);
}

/** vLLM's `16k` (decimal, fractions allowed) and `16K` (binary). @throws ArgumentTypeError for `1.5K` */
export function humanReadableInt(text: string): number | undefined {
  const match = SUFFIXED.exec(text.trim());
  if (match === null) return pythonInt(text);
  const [, number = '', suffix = ''] = match;
  const factor = FACTORS[suffix] ?? 1;
  if (suffix === suffix.toUpperCase() && number.includes('.')) {
    throw new ArgumentTypeError(
      `Decimals are not allowed with binary suffixes like ${suffix}. Did you mean to use ${number}${suffix.toLowerCase()} instead?`,
    );
  }
  return Math.trunc(Number(number) * factor);
}

/** `{"cpu_bytes_to_use": 80m}`: suffixes are allowed inside a config's JSON, but not inside its strings. */
function withPlainNumbers(json: string): string {
  return json
    .split(/("(?:[^"\\]|\\.)*")/)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part.replace(/\b\d+(?:\.\d+)?[kKmMgGtT]\b/g, (text) => String(humanReadableInt(text) ?? text)),
    )
    .join('');
}
