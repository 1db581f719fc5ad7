import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { badRequest } from './api-error.js';
import { admit, encodePrompts, type GenerationContext, outputTokensOf } from './generate.js';
import { type GenerationRequest, parseChatRequest, parseCompletionRequest } from './generation-request.js';
import { isJsonObject } from './pydantic-report.js';
import { type JsonObject, parseFieldsFirst, readBody } from './request-body.js';
import type { Handler } from './routing.js';
import { samplingParamsOf } from './sampling-params.js';

type Methods = Readonly<Record<string, Handler>>;

/** POST /v1/chat/completions/render: what a front end would send to the engine for this chat. */
export function renderChat(context: GenerationContext): Methods {
  return {
    POST: async (http, reply) => {
      const body = await bodyOf(http);
      const request = parseChatRequest(body);
      admit(context.served, request);
      if (body.use_beam_search === true) {
        throw badRequest('Beam search is not supported by the render endpoint', null);
      }
      reply.json(rendered(context, request, 'chatcmpl')[0]);
    },
  };
}

/** POST /v1/completions/render: one request for the engine for each prompt. */
export function renderCompletion(context: GenerationContext): Methods {
  return {
    POST: async (http, reply) => {
      const request = parseCompletionRequest(await bodyOf(http));
      admit(context.served, request);
      reply.json(rendered(context, request, 'cmpl'));
    },
  };
}

async function bodyOf(http: IncomingMessage): Promise<JsonObject> {
  return parseFieldsFirst(http, await readBody(http));
}

/** @throws ApiError 400 */
function rendered(context: GenerationContext, request: GenerationRequest, prefix: string): readonly unknown[] {
  return encodePrompts(context, request).map(({ ids }) => {
    return {
      request_id: `${prefix}-${randomBytes(16).toString('hex')}`,
      token_ids: ids,
      assistant_tokens_mask: null,
      token_offsets: null,
      features: null,
      sampling_params: samplingParamsOf(request, outputTokensOf(request, context.served, ids.length)),
      model: request.model,
      stream: request.stream,
      stream_options: streamOptions(request),
      cache_salt: request.body.cache_salt ?? null,
      priority: request.body.priority ?? 0,
      kv_transfer_params: null,
      ec_transfer_params: null,
    };
  });
}

function streamOptions({ body, stream }: GenerationRequest): unknown {
  if (!stream || !isJsonObject(body.stream_options)) return null;
  const { include_usage: includeUsage, continuous_usage_stats: continuous } = body.stream_options;
  return { include_usage: includeUsage ?? true, continuous_usage_stats: continuous ?? false };
}
