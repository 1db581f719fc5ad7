import { readType, typeProblems } from '../python-types.js';
import type { ServedModel } from '../served-model.js';
import { badRequest, type SchemaProblem, schemaError } from './api-error.js';
import { tokenIdsField } from './field-schemas.js';
import { parseChatRequest } from './generation-request.js';
import type { JsonObject } from './request-body.js';
import { CLASS } from './response-format-check.js';

const TEXT = {
  prompt: readType('str'),
  add_special_tokens: readType('bool'),
  return_token_strs: readType('bool?'),
};
const CHAT = {
  messages: readType('list[any]'),
  add_generation_prompt: readType('bool'),
  return_token_strs: readType('bool?'),
  continue_final_message: readType('bool'),
  add_special_tokens: readType('bool'),
};
const IDS = readType('list[int>=0]');
const BOTH_WAYS =
  'continue_final_message and add_generation_prompt are not compatible. Use continue_final_message when you want the model to continue the final message, and add_generation_prompt when you want to add a header that will prompt it to start a new assistant message instead.';

/** POST /tokenize: a text, or a conversation. @throws ApiError 400 */
export function tokenize(served: ServedModel, body: JsonObject): unknown {
  const problems = [problemsOf(TEXT, 'prompt', body), problemsOf(CHAT, 'messages', body)];
  if (problems.every((list) => list.length > 0)) throw schemaError(problems.flat());
  const isText = problems[0]?.length === 0;
  const tokens = isText ? encodeText(served, body) : encodeChat(served, body);
  return {
    count: tokens.length,
    max_model_len: served.maxModelLen,
    tokens,
    token_strs: body.return_token_strs === true ? tokens.map((id) => served.tokenizer.tokenString(id)) : null,
  };
}

/** POST /detokenize. @throws ApiError 400 */
export function detokenize(served: ServedModel, body: JsonObject): unknown {
  // Looked at one by one only where something is wrong with them: there may be tens of thousands.
  const ids = tokenIdsField.safeParse(body.tokens).data;
  if (ids === undefined || ids.some((id) => id < 0)) throw schemaError(idsProblems(body));
  return { prompt: served.tokenizer.decode(ids) };
}

function idsProblems(body: JsonObject): readonly SchemaProblem[] {
  if (!('tokens' in body)) return [missing('tokens', body)].map(placed([]));
  return typeProblems(IDS, body.tokens).map(placed(['tokens']));
}

/** What one of the two classes of a body misses in it. */
function problemsOf(
  fields: Readonly<Record<string, ReturnType<typeof readType>>>,
  needed: string,
  body: JsonObject,
): readonly SchemaProblem[] {
  return Object.entries(fields).flatMap(([name, type]) => {
    if (!(name in body)) return name === needed ? [placed([CLASS])(missing(name, body))] : [];
    return typeProblems(type, body[name]).map(placed([CLASS, name]));
  });
}

function missing(name: string, body: JsonObject): SchemaProblem {
  return { type: 'missing', location: [name], message: 'Field required', input: body };
}

function placed(place: readonly string[]): (problem: SchemaProblem) => SchemaProblem {
  return (problem) => ({ ...problem, location: ['body', ...place, ...problem.location] });
}

function encodeText({ tokenizer }: ServedModel, body: JsonObject): readonly number[] {
  const text = typeof body.prompt === 'string' ? body.prompt : '';
  return tokenizer.encode(text, { addSpecialTokens: body.add_special_tokens !== false });
}

function encodeChat({ tokenizer }: ServedModel, body: JsonObject): readonly number[] {
  const addGenerationPrompt = body.add_generation_prompt !== false;
  const [prompt] = parseChatRequest({ messages: body.messages }).prompts;
  const messages = prompt?.kind === 'chat' ? prompt.messages : [];
  if (messages.length === 0) {
    throw badRequest('Cannot apply chat template to an empty conversation. Provide at least one message.', null);
  }
  if (addGenerationPrompt && body.continue_final_message === true) throw badRequest(BOTH_WAYS, null);
  return tokenizer.applyChatTemplate(messages, { addGenerationPrompt });
}
