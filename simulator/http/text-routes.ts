import { chatBatchDialect } from './chat-batch.js';
import { anyOpenAiDialect, chatDialect, completionDialect, type Dialect } from './dialect.js';
import { type GenerationContext, handleGeneration } from './generate.js';
import { parseInvocation } from './invocations.js';
import { countMessagesTokens, messagesDialect } from './messages.js';
import { type ParseBody, parseFieldsFirst, parseObject } from './request-body.js';
import { CANCEL_PATH, RESPONSE_PATH, Responses } from './responses.js';
import type { Handler } from './routing.js';

/** The endpoints that answer with text, in every dialect, and what belongs to them. */
export function textRoutes(
  context: GenerationContext,
): readonly (readonly [string, Readonly<Record<string, Handler>>])[] {
  const speaking = (dialect: Dialect, parseBody: ParseBody = parseFieldsFirst): Readonly<Record<string, Handler>> => ({
    POST: (request, reply) => handleGeneration(dialect, parseBody, context, request, reply),
  });
  const responses = new Responses(context.served);
  return [
    ['/invocations', speaking(anyOpenAiDialect, parseInvocation)],
    ['/v1/completions', speaking(completionDialect)],
    ['/v1/chat/completions', speaking(chatDialect)],
    ['/v1/chat/completions/batch', speaking(chatBatchDialect)],
    ['/v1/responses', speaking(responses.dialect)],
    [RESPONSE_PATH, { GET: (request, reply) => responses.retrieve(request, reply) }],
    [CANCEL_PATH, { POST: (request, reply) => responses.cancel(request, reply) }],
    ['/v1/messages', speaking(messagesDialect, parseObject)],
    ['/v1/messages/count_tokens', { POST: (request, reply) => countMessagesTokens(context, request, reply) }],
  ];
}
