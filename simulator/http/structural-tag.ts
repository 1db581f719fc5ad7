import { parseGrammar } from './grammar-pattern.js';
import { isJsonObject } from './pydantic-report.js';
import { parseRegex } from './regex-pattern.js';
import { type Draws, schemaInstance, spacedJson } from './schema-instance.js';
import { patternText } from './text-pattern.js';

/** Writes a text of the wanted form, the same for the same draws. */
export type Write = (draws: Draws) => string;

/** No structural tag; vLLM does not tell why. */
export class StructuralTagError extends Error {
  override readonly name = 'StructuralTagError';
}

type Fields = Readonly<Record<string, unknown>>;
/** @param avoid what free text around must not hold, because it would begin or end something. */
type Compile = (format: Fields, avoid: readonly string[]) => Write;

const MOST_WORDS = 6;
/** Tokens that a word may take. */
const TOKENS_A_WORD = 8;
const NOTHING: Write = () => '';

/** What tells a format whose `type` is left out. */
const TELLING_FIELDS: readonly (readonly [field: string, type: string])[] = [
  ['value', 'const_string'],
  ['json_schema', 'json_schema'],
  ['pattern', 'regex'],
  ['grammar', 'grammar'],
  ['elements', 'sequence'],
  ['triggers', 'triggered_tags'],
  ['separator', 'tags_with_separator'],
  ['begin', 'tag'],
];
/** How a member of an object is written in place of JSON (XGrammar 0.2.3). */
const XML_STYLES: ReadonlyMap<string, (name: string, value: string, isText: boolean) => string> = new Map([
  ['qwen_xml', (name, value) => `<parameter=${name}>${value}</parameter>`],
  ['minimax_xml', (name, value) => `<parameter name="${name}">${value}</parameter>`],
  ['glm_xml', (name, value) => `<arg_key>${name}</arg_key><arg_value>${value}</arg_value>`],
  [
    'deepseek_xml',
    (name, value, isText) => `<｜DSML｜parameter name="${name}" string="${isText}">${value}</｜DSML｜parameter>`,
  ],
]);
/** Formats of single tokens, and tags that tokens begin: they need the model's own vocabulary, and may be left out. */
const OF_TOKENS = new Set(['token_dispatch', 'dispatch', 'any_tokens']);

/**
 * XGrammar's structural tag: `format`, or the older `structures` and `triggers`.
 * @throws StructuralTagError
 */
export function parseStructuralTag(tag: unknown): Write {
  try {
    const fields = fieldsOf(tag);
    if ('structures' in fields) return ofStructures(fields);
    if ((fields.type ?? 'structural_tag') !== 'structural_tag') throw new StructuralTagError('no structural tag');
    return ofFormat(fields.format, []);
  } catch (error) {
    throw error instanceof StructuralTagError ? error : new StructuralTagError(String(error));
  }
}

function ofStructures({ structures, triggers }: Fields): Write {
  const tags = listOf(structures).map((structure) => {
    const { begin, schema, end } = fieldsOf(structure);
    return { type: 'tag', begin, content: { type: 'json_schema', json_schema: fieldsOf(schema) }, end };
  });
  return ofFormat({ type: 'triggered_tags', triggers, tags }, []);
}

function ofFormat(given: unknown, avoid: readonly string[]): Write {
  const format = fieldsOf(given);
  const type = format.type ?? TELLING_FIELDS.find(([field]) => field in format)?.[1];
  const compile = COMPILERS.get(String(type));
  if (compile === undefined) throw new StructuralTagError(`no format "${String(type)}"`);
  return compile(format, avoid);
}

const COMPILERS: ReadonlyMap<string, Compile> = new Map<string, Compile>([
  ['const_string', ({ value }) => constant(textOf(value))],
  ['json_schema', ({ json_schema: schema, style = 'json' }) => ofSchema(schema, String(style))],
  ['qwen_xml_parameter', ({ json_schema: schema }) => ofSchema(schema, 'qwen_xml')],
  ['any_text', freeText],
  [
    'regex',
    ({ pattern }) => {
      const root = parseRegex(textOf(pattern));
      return (draws) => patternText(root, new Map(), draws);
    },
  ],
  [
    'grammar',
    ({ grammar }) => {
      const { root, rules } = parseGrammar(textOf(grammar));
      return (draws) => patternText(root, rules, draws);
    },
  ],
  ['sequence', ({ elements }, avoid) => joined(listOf(elements).map((element) => ofFormat(element, avoid)))],
  [
    'or',
    ({ elements }, avoid) => {
      const options = listOf(elements).map((element) => ofFormat(element, avoid));
      return (draws) => oneOf(options, draws)(draws);
    },
  ],
  ['tag', (format, avoid) => ofTag(format, avoid).write],
  ['triggered_tags', triggeredTags],
  [
    'tags_with_separator',
    ({ tags, separator }, avoid) => {
      textOf(separator);
      return anyTag(listOf(tags).map((tag) => ofTag(fieldsOf(tag), avoid).write));
    },
  ],
  ['optional', ({ content }, avoid) => ofFormat(content, avoid)],
  ['plus', ({ content }, avoid) => ofFormat(content, avoid)],
  ['star', ({ content }, avoid) => ofFormat(content, avoid)],
  ['repeat', repeated],
  ...[...OF_TOKENS].map((type): [string, Compile] => [type, () => NOTHING]),
]);

function ofSchema(schema: unknown, style: string): Write {
  if (schema !== true && !isJsonObject(schema)) throw new StructuralTagError('no schema');
  if (style === 'json') return (draws) => spacedJson(schemaInstance(schema, draws));
  const element = XML_STYLES.get(style);
  if (element === undefined) throw new StructuralTagError(`no style "${style}"`);
  return (draws) =>
    Object.entries(Object(schemaInstance(schema, draws)))
      .map(([name, value]) => {
        const isText = typeof value === 'string';
        return element(name, isText ? value : spacedJson(value), isText);
      })
      .join('');
}

/** Words, none of which holds what is to be avoided. */
function freeText({ excludes = [], max_chars: chars, max_tokens: tokens }: Fields, avoid: readonly string[]): Write {
  const unwanted = [...listOf(excludes, 0).map(textOf), ...avoid].filter((text) => text !== '');
  const most = typeof tokens === 'number' ? Math.min(MOST_WORDS, Math.floor(tokens / TOKENS_A_WORD)) : MOST_WORDS;
  return (draws) => {
    const words = Array.from({ length: most }, () => draws.word()).join(' ');
    if (unwanted.some((text) => words.includes(text) || text.startsWith(' '))) return '';
    return typeof chars === 'number' ? words.slice(0, chars) : words;
  };
}

interface Tag {
  readonly begin: string;
  readonly write: Write;
}

function ofTag({ begin, content, end }: Fields, avoid: readonly string[]): Tag {
  const ends = Array.isArray(end) ? listOf(end).map(textOf) : [textOf(end)];
  const inside = ofFormat(content, [...avoid, ...ends]);
  const first = textOf(begin);
  return { begin: first, write: (draws) => first + inside(draws) + (ends[0] ?? '') };
}

/** Free text, in which a trigger begins one of the tags. */
function triggeredTags(format: Fields, avoid: readonly string[]): Write {
  const { at_least_one: isDemanded = false, stop_after_first: stops = false } = format;
  if (typeof isDemanded !== 'boolean' || typeof stops !== 'boolean') throw new StructuralTagError('no boolean');
  const triggers = listOf(format.triggers).map(textOf);
  const tags = listOf(format.tags).map((tag) => ofTag(fieldsOf(tag), avoid));
  for (const { begin } of tags) {
    if (triggers.filter((trigger) => begin.startsWith(trigger)).length !== 1) {
      throw new StructuralTagError(`not one trigger begins "${begin}"`);
    }
  }
  const before = isDemanded ? NOTHING : freeText(format, [...avoid, ...triggers]);
  return joined([before, anyTag(tags.map(({ write }) => write))]);
}

function repeated({ content, min, max }: Fields, avoid: readonly string[]): Write {
  if (!Number.isInteger(min) || !Number.isInteger(max)) throw new StructuralTagError('no counts');
  const [least, most] = [Number(min), Number(max)];
  if (least < 0 || (most >= 0 && most < least)) throw new StructuralTagError('no range');
  const one = ofFormat(content, avoid);
  return joined(Array.from({ length: least }, () => one));
}

function constant(text: string): Write {
  return () => text;
}

function joined(parts: readonly Write[]): Write {
  return (draws) => parts.map((part) => part(draws)).join('');
}

function anyTag(tags: readonly Write[]): Write {
  return (draws) => oneOf(tags, draws)(draws);
}

function oneOf(options: readonly Write[], draws: Draws): Write {
  return options[draws.number(options.length)] ?? NOTHING;
}

function fieldsOf(value: unknown): Fields {
  if (!isJsonObject(value)) throw new StructuralTagError('no object');
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new StructuralTagError('no text');
  return value;
}

function listOf(value: unknown, least = 1): readonly unknown[] {
  if (!Array.isArray(value) || value.length < least) throw new StructuralTagError('no list');
  return value;
}
