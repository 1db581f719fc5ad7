/** Draws for one value: small numbers and words, the same for the same answer. */
export interface Draws {
  /** An integer from 0 to `below` - 1. */
  number(below: number): number;
  /** A plain word. */
  word(): string;
}

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Schema = Readonly<Record<string, unknown>>;

/** From here on only what a schema demands: no optional properties, no more items than `minItems`. */
const DEPTH_OF_THE_NEEDED = 4;
/** A schema that demands itself without end gets null from here on. */
const DEEPEST = 40;
/** Schemas looked at for one value; what a larger one still lacks is null. */
const MOST_SCHEMAS = 5000;
/** However much `minItems`, `minProperties` or `minLength` ask for. */
const LONGEST = 2000;
const MOST_WORDS = 3;
const MOST_ITEMS = 3;
/** Width of the range in which an unbounded number lies. */
const NUMBERS = 100;

const FORMATS: Readonly<Record<string, string>> = {
  date: '2026-01-15',
  time: '09:30:00Z',
  'date-time': '2026-01-15T09:30:00Z',
  duration: 'P1D',
  email: 'someone@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  uuid: '123e4567-e89b-42d3-a456-426614174000',
};

/**
 * A value that is valid for a JSON schema: types, enum, const, properties, items, bounds, formats, anyOf, oneOf, allOf
 * and local $ref. What is left out of account: pattern, not, if, dependencies, uniqueItems.
 */
export function schemaInstance(schema: unknown, draws: Draws): Json {
  return instance(schema, { root: schema, draws, schemasLeft: MOST_SCHEMAS }, 0);
}

/** JSON as a model writes it, with Python's spaces; letters beyond ASCII escaped, so that any tokenizer can split it. */
export function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([key, item]) => `${spacedJson(key)}: ${spacedJson(item)}`);
    return `{${pairs.join(', ')}}`;
  }
  return (JSON.stringify(value) ?? 'null').replace(
    /[^ -~]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

interface Context {
  readonly root: unknown;
  readonly draws: Draws;
  schemasLeft: number;
}

function instance(given: unknown, context: Context, depth: number): Json {
  if (depth > DEEPEST || context.schemasLeft < 0) return null;
  const schema = resolved(given, context, depth);
  if ('const' in schema) return toJson(schema.const);
  if (Array.isArray(schema.enum)) return toJson(schema.enum[context.draws.number(schema.enum.length)]);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(alternatives) && alternatives.length > 0) {
    const { anyOf: _, oneOf: __, ...common } = schema;
    const chosen = resolved(chooseAlternative(alternatives, context, depth), context, depth);
    return instance(merged(common, chosen), context, depth + 1);
  }
  switch (typeOf(schema)) {
    case 'object':
      return objectOf(schema, context, depth);
    case 'array':
      return arrayOf(schema, context, depth);
    case 'integer':
    case 'number':
      return numberOf(schema, context.draws);
    case 'boolean':
      return context.draws.number(2) === 1;
    case 'null':
      return null;
    default:
      return stringOf(schema, context.draws);
  }
}

/** Deep down the shallowest: what refers to nothing. */
function chooseAlternative(alternatives: readonly unknown[], { draws }: Context, depth: number): unknown {
  const flat = alternatives.filter((one) => !JSON.stringify(one).includes('"$ref"'));
  const among = depth >= DEPTH_OF_THE_NEEDED && flat.length > 0 ? flat : alternatives;
  return among[draws.number(among.length)];
}

function resolved(given: unknown, context: Context, depth: number): Schema {
  context.schemasLeft -= 1;
  const schema = isObject(given) ? given : {};
  if (depth > DEEPEST || context.schemasLeft < 0) return {};
  if (typeof schema.$ref === 'string') {
    const { $ref, ...rest } = schema;
    return merged(rest, resolved(target(schema.$ref, context.root), context, depth + 1));
  }
  if (!Array.isArray(schema.allOf)) return schema;
  const { allOf, ...rest } = schema;
  return schema.allOf.reduce<Schema>((all, part) => merged(all, resolved(part, context, depth + 1)), rest);
}

/** What `#/$defs/Name` points to. */
function target(reference: string, root: unknown): unknown {
  let found = root;
  for (const part of reference.replace(/^#\/?/, '').split('/')) {
    if (part === '') continue;
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    found = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined;
  }
  return found;
}

function merged(one: Schema, other: Schema): Schema {
  const properties =
    isObject(one.properties) && isObject(other.properties)
      ? { properties: { ...one.properties, ...other.properties } }
      : {};
  const required =
    Array.isArray(one.required) && Array.isArray(other.required)
      ? { required: [...new Set([...one.required, ...other.required])] }
      : {};
  return { ...one, ...other, ...properties, ...required };
}

function typeOf(schema: Schema): unknown {
  const { type } = schema;
  if (Array.isArray(type)) return type.find((one) => one !== 'null') ?? 'null';
  if (type !== undefined) return type;
  if (schema.properties !== undefined || schema.required !== undefined || isObject(schema.additionalProperties)) {
    return 'object';
  }
  if (schema.items !== undefined || schema.prefixItems !== undefined) return 'array';
  const isBounded = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].some((name) => name in schema);
  return isBounded ? 'number' : 'string';
}

function objectOf(schema: Schema, context: Context, depth: number): Json {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = new Set(Array.isArray(schema.required) ? schema.required.map(String) : []);
  const entries = Object.entries(properties)
    .filter(([name]) => required.has(name) || depth < DEPTH_OF_THE_NEEDED)
    .map(([name, one]): [string, Json] => [name, instance(one, context, depth + 1)]);
  const others = schema.additionalProperties;
  for (const name of required) {
    if (!(name in properties)) entries.push([name, instance(others, context, depth + 1)]);
  }
  const isMap = others !== false && (isObject(others) || Object.keys(properties).length === 0);
  const least = Math.max(numeric(schema.minProperties) ?? 0, isMap && depth < DEPTH_OF_THE_NEEDED ? 1 : 0);
  for (let number = 1; entries.length < Math.min(least, LONGEST); number += 1) {
    const name = `${context.draws.word()}_${number}`;
    entries.push([name, instance(others, context, depth + 1)]);
  }
  return Object.fromEntries(entries);
}

function arrayOf(schema: Schema, context: Context, depth: number): Json {
  const firsts: readonly unknown[] = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  const { items } = schema;
  const least = Math.max(numeric(schema.minItems) ?? 0, firsts.length);
  const isOpen = items !== false && (firsts.length === 0 || items !== undefined);
  const wanted = depth < DEPTH_OF_THE_NEEDED && isOpen ? Math.max(least, 1 + context.draws.number(MOST_ITEMS)) : least;
  const length = Math.min(wanted, numeric(schema.maxItems) ?? wanted, LONGEST);
  return Array.from({ length }, (_, at) => instance(at < firsts.length ? firsts[at] : items, context, depth + 1));
}

function numberOf(schema: Schema, draws: Draws): number {
  const step = numeric(schema.multipleOf) ?? 1;
  const { exclusiveMinimum, exclusiveMaximum } = schema;
  const low = Math.max(numeric(schema.minimum) ?? -Infinity, above(exclusiveMinimum));
  const high = Math.min(numeric(schema.maximum) ?? Infinity, below(exclusiveMaximum));
  if (low === -Infinity && high === Infinity) return draws.number(NUMBERS) * step;
  const from = low === -Infinity ? Math.floor(high / step) - NUMBERS : Math.ceil(low / step);
  const to = high === Infinity ? from + NUMBERS : Math.floor(high / step);
  // Fractions between two neighbouring whole numbers.
  if (to < from) return (low + high) / 2;
  return (from + draws.number(Math.min(to - from + 1, NUMBERS))) * step;
}

function above(bound: unknown): number {
  return typeof bound === 'number' ? bound + margin(bound) : -Infinity;
}

function below(bound: unknown): number {
  return typeof bound === 'number' ? bound - margin(bound) : Infinity;
}

/** The least that tells a number from its exclusive bound. */
function margin(bound: number): number {
  return Math.max(1e-6, Math.abs(bound) * 1e-12);
}

function stringOf(schema: Schema, draws: Draws): string {
  const known = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined;
  if (known !== undefined) return known;
  const least = numeric(schema.minLength) ?? 0;
  const most = numeric(schema.maxLength) ?? Infinity;
  let text = Array.from({ length: 1 + draws.number(MOST_WORDS) }, () => draws.word()).join(' ');
  while (text.length < Math.min(least, LONGEST)) text += ` ${draws.word()}`;
  return text.length > most ? text.slice(0, most).replace(/ $/, 'x') : text;
}

function numeric(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value out of a request's body, which came as JSON. */
function toJson(value: unknown): Json {
  if (Array.isArray(value)) return value.map(toJson);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return null;
}
