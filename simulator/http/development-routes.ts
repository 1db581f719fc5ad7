import type { ServedModel } from '../served-model.js';
import type { Handler } from './routing.js';

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
    ['/server_info', { GET: (_, reply) => reply.json({ vllm_config: configText(served) }) }],
  ];
}

/** The beginning of vLLM's own text, with the values that hold here. */
function configText({ options, maxModelLen, name }: ServedModel): string {
  const python = (value: boolean): string => (value ? 'True' : 'False');
  const tokenizer = options.tokenizer ?? options.model;
  return [
    `model='${options.model}'`,
    'speculative_config=None',
    `tokenizer='${tokenizer}'`,
    'dtype=torch.bfloat16',
    `max_seq_len=${maxModelLen}`,
    'load_format=simulated',
    `tensor_parallel_size=${options.tensorParallelSize}`,
    `pipeline_parallel_size=${options.pipelineParallelSize}`,
    'data_parallel_size=1',
    'quantization=None',
    `enforce_eager=${python(options.eager)}`,
    'kv_cache_dtype=auto',
    'device_config=simulated',
    'seed=0',
    `served_model_name=${name}`,
    `enable_prefix_caching=${python(options.prefixCaching)}`,
    'enable_chunked_prefill=True',
  ].join(', ');
}
