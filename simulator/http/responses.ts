import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Sequence } from '../engine/sequence.js';
import { pathParameters } from '../route-pattern.js';
import type { ServedModel } from '../served-model.js';
import { invalidRequest, schemaError } from './api-error.js';
import type { BackgroundRun, Dialect } from './dialect.js';
import { checkModel } from './generate.js';
import { parseChatRequest } from './generation-request.js';
import type { Reply } from './reply.js';
import type { RawMessages } from './response-object.js';
import { ResponseStore } from './response-store.js';
import { type ChatDraft, chatBody, chatDrafts } from './responses-chat.js';
import { ResponsesFormat } from './responses-format.js';
import { parseResponsesRequest, type ResponsesRequest } from './responses-request.js';

export const RESPONSE_PATH = '/v1/responses/{response_id}';
export const CANCEL_PATH = '/v1/responses/{response_id}/cancel';

/** OpenAI's API of responses. */
export class Responses {
  readonly #served: ServedModel;
  readonly #store = new ResponseStore();

  constructor(served: ServedModel) {
    this.#served = served;
  }

  /** POST /v1/responses. @throws ApiError */
  readonly dialect: Dialect = (body, served) => {
    const request = parseResponsesRequest(body);
    checkModel(served, request.model ?? null);
    this.#checkStore(request);
    const { previous_response_id: previous } = request;
    const earlier = typeof previous === 'string' ? this.#store.conversation(previous) : [];
    const messages = chatDrafts(request, earlier);
    const hasParser = served.options.toolParser;
    const chat = parseChatRequest(chatBody(body, request, messages, hasParser));
    return {
      request: { ...chat, maxTokensName: 'max_output_tokens', includeUsage: true },
      answerId: () => request.request_id ?? `resp_${randomBytes(8).toString('hex')}`,
      format: ({ id, created, model }, [sequence]) =>
        new ResponsesFormat({
          facts: {
            id,
            createdAt: created,
            model,
            request,
            maxOutputTokens: sequence?.options.maxTokens ?? 0,
            rawMessages:
              request.enable_response_messages && sequence !== undefined ? () => rawMessages(sequence, served) : null,
          },
          hasParser,
          onFinished: (response) => {
            if (served.storesResponses && request.store !== false) this.#store.complete(response, messages);
          },
        }),
      tellsCachedTokens: true,
      wordError: (error) => error,
      runInBackground: request.background ? this.#background(request, messages) : null,
    };
  };

  /** GET /v1/responses/{response_id}. @throws ApiError */
  retrieve(http: IncomingMessage, reply: Reply): void {
    const { id, query } = partsOf(RESPONSE_PATH, http);
    const isStream = booleanOf(query, 'stream') ?? false;
    const after = integerOf(query, 'starting_after');
    const { response, log } = this.#store.get(id);
    if (!isStream) reply.json(response);
    else if (log !== null) log.follow(reply, after === null ? 0 : after + 1);
    else {
      // vLLM finds out when its head has left.
      reply.openStream();
      reply.response.destroy();
    }
  }

  /** POST /v1/responses/{response_id}/cancel. @throws ApiError */
  cancel(http: IncomingMessage, reply: Reply): void {
    reply.json(this.#store.cancel(partsOf(CANCEL_PATH, http).id));
  }

  #checkStore({
    background,
    store,
    previous_input_messages: messages,
    previous_response_id: id,
  }: ResponsesRequest): void {
    if (background && store !== false && !this.#served.storesResponses) {
      const text =
        'This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.';
      throw invalidRequest(400, text, 'background');
    }
    if (messages && messages.length > 0 && id) {
      const text = 'Only one of `previous_input_messages` and `previous_response_id` can be set.';
      throw invalidRequest(400, text, 'previous_response_id');
    }
  }

  #background(request: ResponsesRequest, messages: readonly ChatDraft[]): BackgroundRun {
    return (format, reply, end) => {
      if (!(format instanceof ResponsesFormat)) throw new Error('Only responses run in the background.');
      const queued = format.response('queued');
      const log = this.#store.begin(queued, messages, request.stream ?? false, end);
      if (log === null) {
        reply.json(queued);
        // The response reaches the store when it is complete.
        const nobody = () => undefined;
        return { events: nobody, lastEvents: nobody, body: nobody, failure: nobody, breakOff: nobody };
      }
      log.events(format.opening());
      log.follow(reply, 0);
      return log;
    };
  }
}

/** Prompt and answer as they were to the engine. */
function rawMessages({ promptIds, outputIds }: Sequence, { tokenizer }: ServedModel): RawMessages {
  const said = outputIds.filter((id, index) => id !== tokenizer.eosTokenId || index < outputIds.length - 1);
  return { promptIds, outputIds, text: tokenizer.decode(said, { skipSpecialTokens: false }) };
}

function partsOf(
  pattern: string,
  { url = '' }: IncomingMessage,
): { readonly id: string; readonly query: URLSearchParams } {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  return { id: pathParameters(pattern, pathname)?.response_id ?? '', query: searchParams };
}

function booleanOf(query: URLSearchParams, name: string): boolean | null {
  const input = query.get(name);
  if (input === null) return null;
  if (/^(true|1|on|yes|t|y)$/i.test(input)) return true;
  if (/^(false|0|off|no|f|n)$/i.test(input)) return false;
  const message = 'Input should be a valid boolean, unable to interpret input';
  throw schemaError([{ type: 'bool_parsing', location: ['query', name], message, input }]);
}

function integerOf(query: URLSearchParams, name: string): number | null {
  const input = query.get(name);
  if (input === null) return null;
  if (/^-?\d+$/.test(input)) return Number(input);
  const message = 'Input should be a valid integer, unable to parse string as an integer';
  throw schemaError([{ type: 'int_parsing', location: ['query', name], message, input }]);
}
