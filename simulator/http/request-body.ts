import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { type ApiError, type SchemaProblem, schemaError, unsupportedMediaType } from './api-error.js';
import { pythonJsonError } from './json-error.js';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a whole body. @throws when the client goes away before its end. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
  const [only] = chunks;
  return (chunks.length === 1 && only ? only : Buffer.concat(chunks)).toString('utf8');
}

/** The body as a JSON object. @throws ApiError as FastAPI and vLLM answer. */
export function parseJsonObject(contentType: string | undefined, text: string): JsonObject {
  const mediaType = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') throw unsupportedMediaType();
  if (text === '') {
    throw schemaError([{ type: 'missing', location: ['body'], message: 'Field required', input: null }]);
  }
  const value = parseJson(text);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw schemaError([
    {
      type: 'model_attributes_type',
      location: ['body'],
      message: 'Input should be a valid dictionary or object to extract fields from',
      input: value,
    },
  ]);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
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
    error.issues.map((issue): SchemaProblem => {
      const path = issue.path.filter((key) => typeof key === 'string' || typeof key === 'number');
      const input = valueAt(body, path);
      const location = ['body', ...path];
      if (input === undefined) return { type: 'missing', location, message: 'Field required', input: body };
      const expected = 'expected' in issue ? String(issue.expected) : '';
      return { ...problemOf(expected, input, issue.message), location, input };
    }),
  );
}

/** pydantic's type and message for a value of the wrong kind. */
function problemOf(
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
