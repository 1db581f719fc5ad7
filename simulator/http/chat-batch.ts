import { z } from 'zod';
import { type FinishedChoice, OpenAiFormat, type Usage } from './answer-format.js';
import { ApiError, badRequest, bodyError } from './api-error.js';
import type { Dialect } from './dialect.js';
import { integerField } from './field-schemas.js';
import { type GenerationRequest, parseChatRequest, samplingFields } from './generation-request.js';
import { type JsonObject, parseFields } from './request-body.js';

const batchSchema = z.looseObject({
  messages: z.array(z.array(z.unknown()).min(1)).min(1),
  ...samplingFields,
  max_tokens: integerField.nullish(),
  max_completion_tokens: integerField.nullish(),
  tool_choice: z.enum(['none']).nullish(),
});

/** The prompts differ, so none is told. */
class BatchFormat extends OpenAiFormat {
  override body(choices: readonly FinishedChoice[], usage: Usage): string {
    return super.body(
      choices.map((choice) => ({ ...choice, promptTokenIds: null })),
      usage,
    );
  }
}

/** /v1/chat/completions/batch: several conversations, one choice each. Tools are ignored, and it never streams. @throws ApiError */
export const chatBatchDialect: Dialect = (body) => {
  checkBatchMode(body);
  const { tools: _, tool_choice: __, stream: ___, ...shared } = body;
  const chats = parseFields(batchSchema, body).messages.map((messages) => oneChat({ ...shared, messages }));
  const [first] = chats;
  if (first === undefined) throw new Error('A batch has at least one conversation.');
  return {
    request: {
      ...first,
      prompts: chats.flatMap(({ prompts }) => prompts),
      hasMedia: chats.some(({ hasMedia }) => hasMedia),
    },
    answerId: (requestId) => `chatcmpl-${requestId}`,
    format: (head) => new BatchFormat(head),
    tellsCachedTokens: false,
    wordError: (error) => error,
    runInBackground: null,
  };
};

/** What only the request of a single chat refuses is not told as a problem of the body. */
function oneChat(body: JsonObject): GenerationRequest {
  try {
    return parseChatRequest(body);
  } catch (error) {
    throw error instanceof ApiError ? badRequest(error.message, null) : error;
  }
}

function checkBatchMode(body: JsonObject): void {
  if (body.use_beam_search) {
    const text = 'Batch chat completions do not support beam search. Please set `use_beam_search` to False.';
    throw bodyError(text, body);
  }
  if (Array.isArray(body.logprob_token_ids) && body.logprob_token_ids.length > 0 && !body.logprobs) {
    const text = 'when using `logprob_token_ids`, `logprobs` must be set to true.';
    throw bodyError(text, body);
  }
  if (body.n !== undefined && body.n !== null && body.n !== 1) {
    throw bodyError('Batch chat completions do not support `n > 1`. Please set `n` to 1.', body);
  }
}
