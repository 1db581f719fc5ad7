import { hashNumbers } from '../chance.js';
import type { Tokenizer, TokenStream } from '../contracts.js';
import { valueError } from './api-error.js';
import type { JsonObject } from './request-body.js';
import { type Draws, schemaInstance, spacedJson } from './schema-instance.js';

/** What the text of an answer has to be. */
export type AnswerShape =
  /** `before` and `after` frame the value, as in a tool call. */
  | { readonly kind: 'json'; readonly schema: unknown; readonly before: string; readonly after: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[] };

const ANY_OBJECT = { type: 'object', properties: { answer: { type: 'string' } } };

/**
 * What `response_format` and `structured_outputs` ask for; null: free text. `regex`, `grammar` and `structural_tag`
 * are accepted and shape nothing.
 * @throws ApiError 400
 */
export function parseAnswerShape(body: JsonObject): AnswerShape | null {
  return structuredOutputs(body) ?? responseFormat(body);
}

function structuredOutputs(body: JsonObject): AnswerShape | null {
  const given = body.structured_outputs;
  if (!isObject(given)) return null;
  const kinds = ['json', 'regex', 'choice'].filter((kind) => given[kind] !== undefined && given[kind] !== null);
  if (kinds.length > 1) {
    throw valueError(
      "You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').",
      'structured_outputs',
      body,
    );
  }
  if (Array.isArray(given.choice)) return { kind: 'choice', choices: given.choice.map(String) };
  if (given.json !== undefined && given.json !== null) return json(parsed(given.json));
  return given.json_object === true ? json(ANY_OBJECT) : null;
}

function responseFormat(body: JsonObject): AnswerShape | null {
  const given = body.response_format;
  if (!isObject(given)) return null;
  if (given.type === 'json_object') return json(ANY_OBJECT);
  if (given.type !== 'json_schema') return null;
  if (!isObject(given.json_schema)) {
    const text = "When response_format type is 'json_schema', the 'json_schema' field must be provided.";
    throw valueError(text, 'response_format', body);
  }
  return json(given.json_schema.schema ?? ANY_OBJECT);
}

function json(schema: unknown): AnswerShape {
  return { kind: 'json', schema, before: '', after: '' };
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
