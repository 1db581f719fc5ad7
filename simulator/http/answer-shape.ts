import { hashNumbers } from '../chance.js';
import type { Tokenizer, TokenStream } from '../contracts.js';
import { readType, typeProblems } from '../python-types.js';
import { badRequest, bodyError, schemaError, valueError } from './api-error.js';
import { type Grammar, parseGrammar } from './grammar-pattern.js';
import { pythonRepr, pythonType } from './python-text.js';
import { PatternError, parseRegex } from './regex-pattern.js';
import type { JsonObject } from './request-body.js';
import { internalError } from './route-errors.js';
import { type Draws, schemaInstance, spacedJson } from './schema-instance.js';
import { parseStructuralTag, StructuralTagError, type Write } from './structural-tag.js';
import { type Pattern, patternText, type Rules } from './text-pattern.js';

/** What the text of an answer has to be. */
export type AnswerShape =
  /** `before` and `after` frame the value, as in a tool call. */
  | { readonly kind: 'json'; readonly schema: unknown; readonly before: string; readonly after: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  /** A regular expression or a grammar. */
  | { readonly kind: 'pattern'; readonly pattern: Pattern; readonly rules: Rules }
  /** A structural tag. */
  | { readonly kind: 'tagged'; readonly write: Write };

const STRUCTURED_FIELDS = {
  json: readType('(str|object)?'),
  regex: readType('str?'),
  choice: readType('list[str]?'),
  grammar: readType('str?'),
  json_object: readType('bool?'),
  disable_any_whitespace: readType('bool?'),
  disable_additional_properties: readType('bool?'),
  whitespace_pattern: readType('str?'),
  structural_tag: readType('str?'),
};
const CONSTRAINTS = ['json', 'regex', 'choice', 'grammar', 'json_object', 'structural_tag'];
/** vLLM's class of structured outputs, as it prints itself. */
export const UNCONSTRAINED: JsonObject = {
  json: null,
  regex: null,
  choice: null,
  grammar: null,
  json_object: null,
  disable_any_whitespace: false,
  disable_additional_properties: false,
  whitespace_pattern: null,
  structural_tag: null,
  _backend: null,
  _backend_was_auto: false,
};
const NO_CONSTRAINT = 'You must use one kind of structured outputs constraint but none are specified';
const NO_RULES: Rules = new Map();
const ANY_OBJECT = { type: 'object', properties: { answer: { type: 'string' } } };

/**
 * What `response_format` and `structured_outputs` ask for; null: free text.
 * @throws ApiError 400
 */
export function parseAnswerShape(body: JsonObject): AnswerShape | null {
  return structuredOutputs(body) ?? responseFormat(body);
}

function structuredOutputs(body: JsonObject): AnswerShape | null {
  const given = body.structured_outputs ?? null;
  if (given === null) return null;
  if (!isObject(given)) throw internalError(`'${pythonType(given)}' object has no attribute 'get'`);
  const kinds = ['json', 'regex', 'choice'].filter((kind) => given[kind] !== undefined && given[kind] !== null);
  if (kinds.length > 1) {
    const text = "You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').";
    // Only a completion's check names the field.
    throw 'messages' in body
      ? bodyError(text, body, 'VLLMValidationError')
      : valueError(text, 'structured_outputs', body);
  }
  checkConstraints(given);
  if (Array.isArray(given.choice)) return { kind: 'choice', choices: given.choice.map(String) };
  if (given.json !== undefined && given.json !== null) return json(parsed(given.json));
  if (typeof given.regex === 'string')
    return patternShape(() => ({ root: parseRegex(String(given.regex)), rules: NO_RULES }));
  if (typeof given.grammar === 'string') return patternShape(() => parseGrammar(String(given.grammar)));
  if (typeof given.structural_tag === 'string')
    return tagShape(parsedTag(given.structural_tag), 'structured_outputs', body);
  return given.json_object === true ? json(ANY_OBJECT) : null;
}

/** One of them, and not more. @throws ApiError 400 as vLLM's class words it, which shows all of its fields */
function checkConstraints(given: JsonObject): void {
  const problems = Object.entries(STRUCTURED_FIELDS).flatMap(([name, type]) =>
    typeProblems(type, given[name] ?? null).map((problem) => ({
      ...problem,
      location: ['body', 'structured_outputs', name, ...problem.location],
    })),
  );
  if (problems.length > 0) throw schemaError(problems);
  const count = CONSTRAINTS.filter((name) => (given[name] ?? null) !== null).length;
  if (count === 1) {
    if (typeof given.grammar !== 'string' || given.grammar.trim() !== '') return;
    throw badRequest('structured_outputs.grammar cannot be an empty string', null);
  }
  const fields = { ...UNCONSTRAINED, ...given };
  const known = Object.fromEntries(Object.entries(fields).filter(([name]) => name in UNCONSTRAINED));
  const start =
    count > 1 ? 'You can only use one kind of structured outputs constraint but multiple are specified' : NO_CONSTRAINT;
  const text = `${start}: ${pythonRepr(known)}`;
  throw schemaError([
    {
      type: 'value_error',
      location: ['body', 'structured_outputs'],
      message: `Value error, ${text}`,
      input: given,
      context: `{'error': ValueError(${pythonRepr(text)})}`,
    },
  ]);
}

/** @throws ApiError 400 */
function patternShape(parse: () => Grammar): AnswerShape {
  try {
    const { root, rules } = parse();
    return { kind: 'pattern', pattern: root, rules };
  } catch (error) {
    throw error instanceof PatternError ? badRequest(error.message, null) : error;
  }
}

function responseFormat(body: JsonObject): AnswerShape | null {
  const given = body.response_format;
  if (!isObject(given)) return null;
  if (given.type === 'json_object') return json(ANY_OBJECT);
  if (given.type === 'structural_tag') return tagShape(given, 'response_format', body);
  if (given.type !== 'json_schema') return null;
  if (!isObject(given.json_schema)) {
    const text = "When response_format type is 'json_schema', the 'json_schema' field must be provided.";
    throw valueError(text, 'response_format', body);
  }
  const schema = given.json_schema.schema ?? null;
  if (schema === null) {
    const text = `Value error, ${NO_CONSTRAINT}: ${pythonRepr(UNCONSTRAINED)}`;
    const shown = "[type=value_error, input_value=ArgsKwargs((), {'json': None}), input_type=ArgsKwargs]";
    const link = 'For further information visit https://errors.pydantic.dev/2.13/v/value_error';
    throw badRequest(`1 validation error for StructuredOutputsParams\n  ${text} ${shown}\n    ${link}`, null);
  }
  return json(schema);
}

function json(schema: unknown): AnswerShape {
  return { kind: 'json', schema, before: '', after: '' };
}

/** @throws ApiError 400, which does not say what is wrong */
function tagShape(tag: unknown, parameter: string, body: JsonObject): AnswerShape {
  try {
    return { kind: 'tagged', write: parseStructuralTag(tag) };
  } catch (error) {
    if (!(error instanceof StructuralTagError)) throw error;
    throw valueError(`Invalid ${parameter} structural_tag specification.`, parameter, body);
  }
}

/** null: it is no JSON. */
function parsedTag(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A schema may come as JSON in a string. */
function parsed(schema: unknown): unknown {
  if (typeof schema !== 'string') return schema;
  try {
    return JSON.parse(schema);
  } catch {
    return ANY_OBJECT;
  }
}

/** The answer that has the shape, with the words of the one it replaces; it ends where the shape does. */
export function shapedStream(plain: TokenStream, shape: AnswerShape, tokenizer: Tokenizer): TokenStream {
  const ids = tokenizer.encode(shapedText(shape, drawsFrom(plain, tokenizer)), { addSpecialTokens: false });
  return { tokenAt: (position) => ids[position] ?? tokenizer.eosTokenId, length: ids.length };
}

function shapedText(shape: AnswerShape, draws: Draws): string {
  if (shape.kind === 'pattern') return patternText(shape.pattern, shape.rules, draws);
  if (shape.kind === 'tagged') return shape.write(draws);
  if (shape.kind === 'choice') return shape.choices[draws.number(shape.choices.length)] ?? '';
  return shape.before + spacedJson(schemaInstance(shape.schema, draws)) + shape.after;
}

function drawsFrom(plain: TokenStream, tokenizer: Tokenizer): Draws {
  let position = 0;
  const next = (): number => {
    position += 1;
    return plain.tokenAt(position);
  };
  return {
    number: (below) => Math.floor((hashNumbers([next(), next(), position], 0) / 2 ** 32) * below),
    word: () => tokenizer.tokenText(next()).replace(/[^A-Za-z]/g, '') || 'word',
  };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
