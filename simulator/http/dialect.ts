import type { Sequence } from '../engine/sequence.js';
import type { ServedModel } from '../served-model.js';
import type { AnswerChannel } from './answer-channel.js';
import { type AnswerFormat, type AnswerHead, OpenAiFormat } from './answer-format.js';
import { type ApiError, badRequest } from './api-error.js';
import { type GenerationRequest, parseChatRequest, parseCompletionRequest } from './generation-request.js';
import type { Reply } from './reply.js';
import type { JsonObject } from './request-body.js';

/** A request of any dialect, in the terms that all of them share. */
export interface Generation {
  readonly request: GenerationRequest;
  /** @param requestId the client's, or a new one. */
  answerId(requestId: string): string;
  format(head: AnswerHead, sequences: readonly Sequence[]): AnswerFormat;
  /** Whether the usage tells of cached tokens. */
  readonly tellsCachedTokens: boolean;
  /** The error in the words of the dialect. @param isRaised it is a Python exception in the real server. */
  wordError(error: ApiError, isRaised: boolean): ApiError;
  /** Takes the answer, and tells the client what it needs to fetch it; null: the client waits for it. */
  readonly runInBackground: BackgroundRun | null;
}

/** @param end ends the sequences. @returns where the answer goes. */
export type BackgroundRun = (format: AnswerFormat, reply: Reply, end: () => void) => AnswerChannel;

/** @throws ApiError */
export type Dialect = (body: JsonObject, served: ServedModel) => Generation;

export const chatDialect: Dialect = (body, served) => openAi(parseChatRequest(body), served);

export const completionDialect: Dialect = (body, served) => openAi(parseCompletionRequest(body), served);

/** /invocations takes either body. */
export const anyOpenAiDialect: Dialect = (body, served) => {
  if (body.messages !== undefined) return chatDialect(body, served);
  if (body.prompt !== undefined) return completionDialect(body, served);
  const known = "['ChatCompletionRequest', 'CompletionRequest']";
  throw badRequest(`Cannot find suitable handler for request. Expected one of: ${known}`, null);
};

function openAi(request: GenerationRequest, { options }: ServedModel): Generation {
  const prefix = request.endpoint === 'chat' ? 'chatcmpl' : 'cmpl';
  return {
    request: {
      ...request,
      includeUsage: request.includeUsage || options.forceIncludeUsage,
      continuousUsage: request.continuousUsage || options.forceIncludeUsage,
    },
    answerId: (requestId) => `${prefix}-${requestId}`,
    format: (head) => new OpenAiFormat(head),
    tellsCachedTokens: options.promptTokensDetails,
    wordError: (error) => error,
    runInBackground: null,
  };
}
