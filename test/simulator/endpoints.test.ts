import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type CacheServerInProcess, serveCacheInProcess } from './cache-server-in-process.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const endpointSchema = z.object({ method: z.string(), path: z.string(), body: z.boolean() });
type Endpoint = z.infer<typeof endpointSchema>;
/** Of the recorded /openapi.json. */
const recorded = z
  .object({ engine: z.array(endpointSchema), cacheServer: z.array(endpointSchema) })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/endpoints.json', import.meta.url), 'utf8')));

let engine: ServedInProcess;
let cacheServer: CacheServerInProcess;

beforeAll(async () => {
  const l2 = JSON.stringify({ type: 'mock', max_size_gb: 1, mock_bandwidth_gb: 4 });
  cacheServer = await serveCacheInProcess(['--l1-size-gb', '1', '--l2-adapter', l2]);
  engine = await serveInProcess([], { VLLM_SERVER_DEV_MODE: '1' });
});

afterAll(async () => {
  await engine.stop();
  expect(await cacheServer.stop()).toBe(0);
});

/** What the real engine, too, answers with 500. */
const NO_WEIGHT_TRANSFER = 'Weight transfer not configured.';

/** Recorded endpoints that the server does not know, by a plain request each. */
async function missing(baseUrl: string, endpoints: readonly Endpoint[]): Promise<readonly string[]> {
  const unknown: string[] = [];
  for (const { method, path, body } of endpoints) {
    const response = await fetch(baseUrl + path.replace(/\{\w+\}/g, 'x'), {
      method,
      ...(body ? { body: '{}', headers: { 'content-type': 'application/json' } } : {}),
    });
    const text = await response.text();
    if (response.status === 405 || text === '{"detail":"Not Found"}') unknown.push(`${method} ${path}`);
    else if (!text.includes(NO_WEIGHT_TRANSFER)) expect(response.status, `${method} ${path}: ${text}`).not.toBe(500);
  }
  return unknown;
}

describe('every endpoint of the recorded servers', () => {
  it('is there on the cache server', async () => {
    expect(recorded.cacheServer).toHaveLength(29);
    expect(await missing(cacheServer.httpUrl, recorded.cacheServer)).toEqual([]);
  });

  it('is there on the engine', async () => {
    expect(recorded.engine).toHaveLength(44);
    expect(await missing(engine.baseUrl, recorded.engine)).toEqual([]);
  });
});

/** Recorded, less what has no meaning here. */
const RECORDED_CONFIG =
  "model='MODEL', speculative_config=None, tokenizer='MODEL', skip_tokenizer_init=False, tokenizer_mode=auto, revision=None, tokenizer_revision=None, trust_remote_code=False, dtype=torch.bfloat16, max_seq_len=40960, download_dir=None, load_format=dummy, tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto, device_config=cuda, seed=0, served_model_name=Qwen/Qwen3-14B, enable_prefix_caching=True, enable_chunked_prefill=True";

describe('/server_info', () => {
  const configSchema = z.object({
    vllm_config: z.object({
      model_config: z.object({ model: z.string(), max_model_len: z.number() }),
      cache_config: z.object({ block_size: z.number() }),
      scheduler_config: z.object({ max_num_seqs: z.number() }),
    }),
  });

  it('tells the configuration as text in the recorded words', async () => {
    const { vllm_config: text } = z
      .object({ vllm_config: z.string() })
      .parse(await (await fetch(`${engine.baseUrl}/server_info`)).json());
    const expected = RECORDED_CONFIG.replaceAll('MODEL', 'Qwen/Qwen3-14B')
      .replace('load_format=dummy', 'load_format=simulated')
      .replace('device_config=cuda', 'device_config=simulated');
    expect(text).toBe(expected);
  });

  it('tells it as JSON where the query asks for that, and refuses other formats', async () => {
    const answer = await fetch(`${engine.baseUrl}/server_info?config_format=json`);
    const { vllm_config: config } = configSchema.parse(await answer.json());
    expect(config.model_config).toEqual({ model: 'Qwen/Qwen3-14B', max_model_len: 40960 });
    expect(config.cache_config.block_size).toBe(16);
    const refused = await fetch(`${engine.baseUrl}/server_info?config_format=yaml`);
    expect([refused.status, await refused.text()]).toEqual([
      400,
      `{"error":{"message":"1 validation error:\\n  {'type': 'literal_error', 'loc': ('query', 'config_format'), 'msg': \\"Input should be 'text' or 'json'\\", 'input': 'yaml', 'ctx': {'expected': \\"'text' or 'json'\\"}}","type":"Bad Request","param":"query.config_format","code":400}}`,
    ]);
  });
});
