import { badRequest, type SchemaProblem, schemaError } from './api-error.js';
import { isJsonObject, type Problem, pydanticReport } from './pydantic-report.js';
import type { JsonObject } from './request-body.js';

/** The classes of OpenAI's package, by the role of a message; others may be without content. */
const CLASSES: Readonly<Record<string, string>> = {
  developer: 'ChatCompletionDeveloperMessageParam',
  system: 'ChatCompletionSystemMessageParam',
  user: 'ChatCompletionUserMessageParam',
  tool: 'ChatCompletionToolMessageParam',
};
const TEXT_PART = '0.ChatCompletionContentPartTextParam';
const PART_TYPES = new Set([
  'text',
  'input_text',
  'output_text',
  'refusal',
  'thinking',
  'file',
  'image_url',
  'input_image',
  'image_pil',
  'image_embeds',
  'audio_url',
  'input_audio',
  'audio_embeds',
  'video_url',
  'video_embeds',
]);

/**
 * Messages that no class of vLLM's takes. Of the problems that pydantic finds, with each of eight classes for one message,
 * those with the class of its role are told.
 * @throws ApiError 400
 */
export function checkMessages(messages: unknown): void {
  if (messages === null) throw badRequest("'NoneType' object is not iterable", null);
  if (!Array.isArray(messages)) return;
  for (const [index, message] of messages.entries()) {
    if (!isJsonObject(message)) continue;
    const problems = problemsOf(message);
    if (problems.length > 0) {
      const place = ['body', 'messages', index];
      throw schemaError(problems.map((problem) => ({ ...problem, location: [...place, ...problem.location] })));
    }
    if (Array.isArray(message.content)) for (const part of message.content) checkPart(part);
  }
}

function problemsOf({ role, content, name = '' }: JsonObject): readonly SchemaProblem[] {
  const message = 'Input should be a valid string';
  const own = CLASSES[String(role)];
  const kind = own ?? 'CustomChatCompletionMessageParam';
  if (typeof name !== 'string') return [{ type: 'string_type', location: [kind, 'name'], message, input: name }];
  if (content !== null || own === undefined) return [];
  return [
    { type: 'string_type', location: [own, 'content', 'str'], message, input: null },
    {
      type: 'iterable_type',
      location: [own, 'content', 'generator[...]'],
      message: 'Input should be iterable',
      input: null,
    },
  ];
}

/** Parts are looked at later, one by one. */
function checkPart(part: unknown): void {
  const problem = partProblem(part);
  if (problem !== null) throw badRequest(pydanticReport('ValidatorIterator', [problem]), null);
}

function partProblem(part: unknown): Problem | null {
  if (!isJsonObject(part)) {
    return { key: TEXT_PART, type: 'dict_type', message: 'Input should be a valid dictionary', input: part };
  }
  const { type = 'text' } = part;
  const isKnown =
    PART_TYPES.has(String(type)) && (type !== 'text' || typeof part.text === 'string' || !('type' in part));
  if (isKnown) return null;
  if (!('text' in part)) return { key: `${TEXT_PART}.text`, type: 'missing', message: 'Field required', input: part };
  return { key: `${TEXT_PART}.text`, type: 'string_type', message: 'Input should be a valid string', input: part.text };
}
