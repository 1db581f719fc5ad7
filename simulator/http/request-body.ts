import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { type ApiError, type SchemaProblem, schemaError, unsupportedMediaType } from './api-error.js';
import { typeNames } from './field-schemas.js';
import { pythonJsonError } from './json-error.js';
import { isJsonObject } from './pydantic-report.js';
import { pythonFloat, pythonRepr, pythonType } from './python-text.js';
import { internalError } from './route-errors.js';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a whole body. @throws when the client goes away before its end. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
  const [only] = chunks;
  return (chunks.length === 1 && only ? only : Buffer.concat(chunks)).toString('utf8');
}

/** @throws ApiError for another media type than JSON's */
export function requireJson(contentType: string | undefined): void {
  const mediaType = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') throw unsupportedMediaType();
}

/** Makes an object of a request's body. @throws ApiError as FastAPI and vLLM answer. */
export type ParseBody = (http: IncomingMessage, text: string) => JsonObject;

/** For classes whose fields pydantic checks before they do. */
export const parseObject: ParseBody = (http, text) => {
  const input = parseValue(http, text);
  if (isJsonObject(input)) return input;
  const message = 'Input should be a valid dictionary or object to extract fields from';
  throw schemaError([{ type: 'model_attributes_type', location: ['body'], message, input }]);
};

/** For classes that look at fields before pydantic does, and fail in Python where there are none. */
export const parseFieldsFirst: ParseBody = (http, text) => {
  const value = parseValue(http, text);
  if (isJsonObject(value)) return value;
  throw fieldless(value);
};

/** Python's failure where a dictionary is taken for granted. */
export function fieldless(value: unknown): ApiError {
  return internalError(`'${pythonType(value)}' object has no attribute 'get'`);
}

function parseValue({ headers }: IncomingMessage, text: string): unknown {
  requireJson(headers['content-type']);
  const value = text === '' ? null : parseJson(text);
  if (value !== null) return value;
  throw schemaError([{ type: 'missing', location: ['body'], message: 'Field required', input: null }]);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    const { message, position } = pythonJsonError(text);
    throw schemaError([
      {
        type: 'json_invalid',
        location: ['body', position],
        message: 'JSON decode error',
        input: {},
        context: `{'error': '${message}'}`,
      },
    ]);
  }
}

/** Parses a body by its schema. @throws ApiError with the problems in pydantic's words. */
export function parseFields<Schema extends z.ZodType>(schema: Schema, body: JsonObject): z.infer<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw toApiError(parsed.error, body);
}

function toApiError(error: z.ZodError, body: JsonObject): ApiError {
  return schemaError(
    error.issues
      .flatMap((issue) => spelledOut(issue, [], body))
      .map(({ issue, place }): SchemaProblem => {
        const keys = keysOf(place);
        const input = valueAt(body, keys);
        const location = ['body', ...place.map((part) => ('key' in part ? part.key : part.type))];
        if (input === undefined) {
          return { type: 'missing', location, message: 'Field required', input: valueAt(body, keys.slice(0, -1)) };
        }
        return { ...problemOf(issue, input), location, input };
      }),
  );
}

/** A part of a value's place: a key, or the name of a type that was tried there. */
type PlacePart = { readonly key: string | number } | { readonly type: string };

function keysOf(place: readonly PlacePart[]): readonly (string | number)[] {
  return place.flatMap((part) => ('key' in part ? [part.key] : []));
}

interface PlacedIssue {
  readonly issue: z.core.$ZodIssue;
  readonly place: readonly PlacePart[];
}

/** What each type of a union found wrong, as pydantic lists it. */
function spelledOut(issue: z.core.$ZodIssue, before: readonly PlacePart[], body: JsonObject): readonly PlacedIssue[] {
  const keys = issue.path.filter((key) => typeof key !== 'symbol').map((key) => ({ key }));
  const place = [...before, ...keys];
  const types = issue.code === 'invalid_union' ? typeNames(issue.message) : null;
  const isMissing = valueAt(body, keysOf(place)) === undefined;
  if (issue.code !== 'invalid_union' || types === null || isMissing) return [{ issue, place }];
  return issue.errors.flatMap((issues, index) =>
    issues.flatMap((one) => spelledOut(one, [...place, { type: types[index] ?? '' }], body)),
  );
}

/** pydantic's words for what is wrong with a value. */
function problemOf(issue: z.core.$ZodIssue, input: unknown): Pick<SchemaProblem, 'type' | 'message' | 'context'> {
  switch (issue.code) {
    case 'invalid_value': {
      const expected = oneOf(issue.values.map((value) => pythonRepr(value)));
      return {
        type: 'literal_error',
        message: `Input should be ${expected}`,
        context: `{'expected': ${pythonRepr(expected)}}`,
      };
    }
    case 'too_small':
      if (issue.origin === 'array') {
        const message = `List should have at least ${issue.minimum} item after validation, not 0`;
        const context = `{'field_type': 'List', 'min_length': ${issue.minimum}, 'actual_length': 0}`;
        return { type: 'too_short', message, context };
      }
      return {
        type: 'greater_than_equal',
        message: `Input should be greater than or equal to ${issue.minimum}`,
        context: `{'ge': ${pythonFloat(Number(issue.minimum))}}`,
      };
    case 'too_big':
      return {
        type: 'less_than_equal',
        message: `Input should be less than or equal to ${issue.maximum}`,
        context: `{'le': ${pythonFloat(Number(issue.maximum))}}`,
      };
    case 'custom':
      if (issue.params === undefined) return { type: 'value_error', message: issue.message };
      return {
        type: 'value_error',
        message: `Value error, ${issue.message}`,
        context: `{'error': ValueError(${pythonRepr(issue.message)})}`,
      };
    default:
      return kindProblem('expected' in issue ? String(issue.expected) : '', input, issue.message);
  }
}

/** `'a', 'b' or 'c'` */
function oneOf(choices: readonly string[]): string {
  const last = choices.at(-1) ?? '';
  return choices.length === 1 ? last : `${choices.slice(0, -1).join(', ')} or ${last}`;
}

/** pydantic's type and message for a value of the wrong kind. */
function kindProblem(
  expected: string,
  input: unknown,
  fallback: string,
): { readonly type: string; readonly message: string } {
  const unparsable = typeof input === 'string';
  switch (expected) {
    case 'int':
      if (typeof input === 'number') {
        const message = 'Input should be a valid integer, got a number with a fractional part';
        return { type: 'int_from_float', message };
      }
      return integerProblem(unparsable);
    case 'integer':
      return integerProblem(unparsable);
    case 'number':
      return unparsable
        ? { type: 'float_parsing', message: 'Input should be a valid number, unable to parse string as a number' }
        : { type: 'float_type', message: 'Input should be a valid number' };
    case 'boolean':
      return unparsable
        ? { type: 'bool_parsing', message: 'Input should be a valid boolean, unable to interpret input' }
        : { type: 'bool_type', message: 'Input should be a valid boolean' };
    case 'string':
      return { type: 'string_type', message: 'Input should be a valid string' };
    case 'array':
      return { type: 'list_type', message: 'Input should be a valid list' };
    case 'object':
      // A class of pydantic's; records are dictionaries.
      return {
        type: 'model_attributes_type',
        message: 'Input should be a valid dictionary or object to extract fields from',
      };
    case 'record':
      return { type: 'dict_type', message: 'Input should be a valid dictionary' };
    default:
      return { type: 'value_error', message: fallback };
  }
}

function integerProblem(unparsable: boolean): { readonly type: string; readonly message: string } {
  return unparsable
    ? { type: 'int_parsing', message: 'Input should be a valid integer, unable to parse string as an integer' }
    : { type: 'int_type', message: 'Input should be a valid integer' };
}

function valueAt(body: JsonObject, path: readonly (string | number)[]): unknown {
  let value: unknown = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}
