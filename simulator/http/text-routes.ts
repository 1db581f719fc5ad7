import type { Handler } from './api-server.js';
import { chatBatchDialect } from './chat-batch.js';
import { anyOpenAiDialect, chatDialect, completionDialect, type Dialect } from './dialect.js';
import { type GenerationContext, handleGeneration } from './generate.js';
import { countMessagesTokens, messagesDialect } from './messages.js';

/** The endpoints that answer with text, in every dialect, and what belongs to them. */
export function textRoutes(
  context: GenerationContext,
): readonly (readonly [string, Readonly<Record<string, Handler>>])[] {
  const speaking = (dialect: Dialect): Readonly<Record<string, Handler>> => ({
    POST: (request, reply) => handleGeneration(dialect, context, request, reply),
  });
  return [
    ['/invocations', speaking(anyOpenAiDialect)],
    ['/v1/completions', speaking(completionDialect)],
    ['/v1/chat/completions', speaking(chatDialect)],
    ['/v1/chat/completions/batch', speaking(chatBatchDialect)],
    ['/v1/messages', speaking(messagesDialect)],
    ['/v1/messages/count_tokens', { POST: (request, reply) => countMessagesTokens(context, request, reply) }],
  ];
}
