import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.js';
import type { Dialect } from './dialect.js';
import { admit, encodePrompts, type GenerationContext } from './generate.js';
import { MessagesFormat } from './messages-format.js';
import { parseCountRequest, parseMessagesRequest, wordMessagesError } from './messages-request.js';
import type { Reply } from './reply.js';
import { parseObject, readBody } from './request-body.js';

/** POST /v1/messages, the API of Anthropic's clients. @throws ApiError */
export const messagesDialect: Dialect = (body, served) => ({
  request: parseMessagesRequest(body, served),
  answerId: (requestId) => `chatcmpl-${requestId}`,
  format: (head) => new MessagesFormat(head),
  tellsCachedTokens: served.options.promptTokensDetails,
  wordError: wordMessagesError,
  runInBackground: null,
});

/** POST /v1/messages/count_tokens. @throws ApiError */
export async function countMessagesTokens(
  context: GenerationContext,
  http: IncomingMessage,
  reply: Reply,
): Promise<void> {
  const body = parseObject(http, await readBody(http));
  const request = parseCountRequest(body, context.served);
  let isRaised = false;
  try {
    admit(context.served, request);
    isRaised = true;
    const count = encodePrompts(context, request).reduce((sum, { ids }) => sum + ids.length, 0);
    reply.json({ input_tokens: count, context_management: { original_input_tokens: count } });
  } catch (error) {
    throw error instanceof ApiError ? wordMessagesError(error, isRaised) : error;
  }
}
