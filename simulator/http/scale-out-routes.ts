import { derenderChat, derenderCompletion } from './derender.js';
import { type GenerationContext, handleGeneration } from './generate.js';
import { scaleElastic, tokensOnlyRoutes } from './pause-routes.js';
import { renderChat, renderCompletion } from './render.js';
import { parseObject } from './request-body.js';
import type { Handler } from './routing.js';
import { scoreItems } from './scoring.js';
import { tokensDialect } from './tokens-request.js';

/** What front ends that run apart from their engine use of it, and what is for more than chats (vLLM 0.26). */
export function scaleOutRoutes(
  context: GenerationContext,
): readonly (readonly [string, Readonly<Record<string, Handler>>])[] {
  const { served, engine } = context;
  return [
    ['/v1/chat/completions/render', renderChat(context)],
    ['/v1/completions/render', renderCompletion(context)],
    ['/v1/chat/completions/derender', derenderChat(served)],
    ['/v1/completions/derender', derenderCompletion(served)],
    [
      '/inference/v1/generate',
      { POST: (request, reply) => handleGeneration(tokensDialect, parseObject, context, request, reply) },
    ],
    ['/generative_scoring', { POST: (request, reply) => scoreItems(context, request, reply) }],
    ['/scale_elastic_ep', { POST: scaleElastic }],
    ...(served.options.tokensOnly ? tokensOnlyRoutes(engine) : []),
  ];
}
