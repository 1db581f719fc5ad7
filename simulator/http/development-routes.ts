import type { ServedModel } from '../served-model.js';
import type { Handler } from './routing.js';
import { serverInfo } from './server-info.js';

/** What VLLM_SERVER_DEV_MODE=1 adds, as far as it means something without weights and worker processes. */
export function developmentRoutes(
  served: ServedModel,
  resetPrefixCache: () => boolean,
): readonly (readonly [path: string, methods: Readonly<Record<string, Handler>>])[] {
  // Text models have nothing in them.
  const reset: Handler = (_, reply) => reply.send(200, '', null);
  const { tensorParallelSize, pipelineParallelSize } = served.options;
  return [
    ['/reset_prefix_cache', { POST: (_, reply) => reply.json({ success: resetPrefixCache() }) }],
    ['/reset_mm_cache', { POST: reset }],
    ['/reset_encoder_cache', { POST: reset }],
    ['/get_world_size', { GET: (_, reply) => reply.json({ world_size: tensorParallelSize * pipelineParallelSize }) }],
    ['/server_info', { GET: serverInfo(served) }],
  ];
}
