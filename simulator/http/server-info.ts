import type { IncomingMessage } from 'node:http';
import type { ServedModel } from '../served-model.js';
import { pythonRepr } from './python-text.js';
import { queryChoiceError } from './route-errors.js';
import type { Handler } from './routing.js';

const FORMATS = ['text', 'json'];

/**
 * GET /server_info[?config_format=text|json]: the configuration in the form of vLLM 0.26, with the values that hold here. Of the
 * variables and versions of Python's side there are none.
 */
export function serverInfo(served: ServedModel): Handler {
  return (request, reply) => {
    const config = configOf(served);
    reply.json({ vllm_config: formatOf(request) === 'json' ? config : textOf(config) });
  };
}

/** @throws ApiError 400 */
function formatOf({ url = '/' }: IncomingMessage): string {
  const format = new URL(url, 'http://localhost').searchParams.get('config_format') ?? 'text';
  if (!FORMATS.includes(format)) throw queryChoiceError('config_format', format, FORMATS);
  return format;
}

type Config = ReturnType<typeof configOf>;

function configOf({ options, profile, maxModelLen, name, blockTokens, blockCount }: ServedModel) {
  const given = (key: string, byDefault: unknown): unknown => options.given[key] ?? byDefault;
  return {
    model_config: {
      model: options.model,
      tokenizer: options.tokenizer ?? options.model,
      skip_tokenizer_init: given('skip_tokenizer_init', false),
      tokenizer_mode: given('tokenizer_mode', 'auto'),
      revision: given('revision', null),
      tokenizer_revision: given('tokenizer_revision', null),
      trust_remote_code: given('trust_remote_code', false),
      dtype: 'torch.bfloat16',
      max_model_len: maxModelLen,
      quantization: given('quantization', null),
      enforce_eager: options.eager,
      seed: given('seed', 0),
      served_model_name: name,
    },
    cache_config: {
      block_size: blockTokens,
      num_gpu_blocks: blockCount,
      gpu_memory_utilization: options.gpuMemoryUtilization,
      cache_dtype: given('kv_cache_dtype', 'auto'),
      enable_prefix_caching: options.prefixCaching,
    },
    parallel_config: {
      tensor_parallel_size: options.tensorParallelSize,
      pipeline_parallel_size: options.pipelineParallelSize,
      data_parallel_size: 1,
    },
    scheduler_config: {
      max_num_batched_tokens: options.maxNumBatchedTokens ?? profile.maxNumBatchedTokens,
      max_num_seqs: options.maxNumSeqs ?? profile.maxNumSeqs,
      async_scheduling: options.asyncScheduling,
      enable_chunked_prefill: true,
    },
    device_config: { device: 'simulated' },
    load_config: { load_format: 'simulated', download_dir: given('download_dir', null) },
    speculative_config: given('speculative_config', null),
    kv_transfer_config: given('kv_transfer_config', null),
  };
}

/** vLLM's own text, as far as its values hold here. */
function textOf(config: Config): string {
  const { model_config: model, cache_config: cache, parallel_config: parallel } = config;
  return [
    `model=${pythonRepr(model.model)}`,
    `speculative_config=${pythonRepr(config.speculative_config)}`,
    `tokenizer=${pythonRepr(model.tokenizer)}`,
    `skip_tokenizer_init=${pythonRepr(model.skip_tokenizer_init)}`,
    `tokenizer_mode=${model.tokenizer_mode}`,
    `revision=${model.revision ?? 'None'}`,
    `tokenizer_revision=${model.tokenizer_revision ?? 'None'}`,
    `trust_remote_code=${pythonRepr(model.trust_remote_code)}`,
    `dtype=${model.dtype}`,
    `max_seq_len=${model.max_model_len}`,
    `download_dir=${pythonRepr(config.load_config.download_dir)}`,
    `load_format=${config.load_config.load_format}`,
    `tensor_parallel_size=${parallel.tensor_parallel_size}`,
    `pipeline_parallel_size=${parallel.pipeline_parallel_size}`,
    `data_parallel_size=${parallel.data_parallel_size}`,
    `quantization=${model.quantization ?? 'None'}`,
    `enforce_eager=${pythonRepr(model.enforce_eager)}`,
    `kv_cache_dtype=${cache.cache_dtype}`,
    `device_config=${config.device_config.device}`,
    `seed=${model.seed}`,
    `served_model_name=${model.served_model_name}`,
    `enable_prefix_caching=${pythonRepr(cache.enable_prefix_caching)}`,
    `enable_chunked_prefill=${pythonRepr(config.scheduler_config.enable_chunked_prefill)}`,
  ].join(', ');
}
