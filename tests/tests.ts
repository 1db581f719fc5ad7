// The experiments of lmcache-tests: what each storage backend of LMCache brings.
//   lmcache-ci experiments tests/tests.ts -l
//   lmcache-ci experiments tests/tests.ts -f test_lmcache_local_cpu -o outputs/
import {
  type Experiment,
  experiment,
  type LmcacheSettings,
  lmcache,
  type Settings,
  type Shows,
  type TestCase,
  testCase,
  type VllmEngine,
  vllm,
} from 'lmcache-ci/experiments';

// Configurations of LMCache: older releases read `local_device`, newer ones `local_cpu` and `local_disk`.
const localCpu: LmcacheSettings = {
  chunk_size: 256,
  local_device: 'cpu',
  pipelined_backend: false,
  local_cpu: true,
  max_local_cpu_size: 20,
};
const localGpu: LmcacheSettings = {
  chunk_size: 256,
  local_device: 'cuda',
  remote_url: null,
  pipelined_backend: false,
  max_local_cache_size: 4,
  local_cpu: true,
  max_local_cpu_size: 4,
};
const localDisk = (directory: string): LmcacheSettings => ({
  chunk_size: 256,
  local_device: `file://${directory}/`,
  remote_url: null,
  pipelined_backend: true,
  local_cpu: false,
  local_disk: `file://${directory}/`,
  max_local_disk_size: 20,
});
const remote = (port: number, serde: 'cachegen' | 'safetensor', pipelined: boolean): LmcacheSettings => ({
  chunk_size: 256,
  local_device: null,
  local_cpu: false,
  remote_url: `lm://localhost:${port}`,
  remote_serde: serde,
  pipelined_backend: pipelined,
});

const contexts = [8192, 16_384, 24_576];
const dummies = (queries: number, lengths = contexts): readonly Experiment[] =>
  lengths.map((contextLength) => experiment({ queries, contextLength }));

/** What some models need of vLLM. */
function forModel(model: string, engine: Omit<VllmEngine, 'program'>): VllmEngine {
  const options = { max_model_len: 32_768, ...engine.options };
  if (model === 'THUDM/glm-4-9b-chat') {
    return vllm({ ...engine, tensorParallelSize: 2, options: { trust_remote_code: true, ...options } });
  }
  if (model.startsWith('meta-llama/Llama-3.1-8B')) return vllm({ ...engine, options });
  return vllm(engine);
}

/** Requests after the first one find their context in the cache of engine 0; engine 1 computes it every time. */
const reuse = (what: string, atLeast: number): Shows => ({
  what,
  metric: 'TTFT',
  better: { engine: 0, requests: 'later' },
  worse: { engine: 1, requests: 'later' },
  atLeast,
});
/** Compressed KV cache is smaller to fetch: against the same function without compression, where both are run. */
const compression = (cachegen: string, safetensor: string): Shows => ({
  what: "cachegen's compression",
  metric: 'TTFT',
  better: { function: cachegen, engine: 0, requests: 'later' },
  worse: { function: safetensor, engine: 0, requests: 'later' },
  atLeast: 1.3,
});
/** The same, on one engine: the first request is the one that computes. */
const reuseAlone = (what: string, atLeast: number): Shows => ({
  what,
  metric: 'TTFT',
  better: { engine: 0, requests: 'later' },
  worse: { engine: 0, requests: 'first' },
  atLeast,
});

/** With LMCache against without. */
function against(
  { model }: Settings,
  config: LmcacheSettings,
  more: { readonly environment?: Readonly<Record<string, string>>; readonly remoteDevice?: string },
  experiments: readonly Experiment[],
  shows: Shows,
): TestCase {
  return testCase({
    engines: [forModel(model, { lmcache: lmcache(config, more) }), forModel(model, {})],
    experiments,
    shows: [shows],
  });
}

/** Prefix caching of vLLM and LMCache together: with it, what the GPU still has is not even loaded. */
export function test_cache_compatibility({ model }: Settings): TestCase {
  return testCase({
    engines: [
      forModel(model, { lmcache: lmcache(localCpu), options: { enable_prefix_caching: true } }),
      forModel(model, { lmcache: lmcache(localCpu) }),
    ],
    experiments: dummies(5),
    shows: [reuse("vLLM's prefix cache in front of LMCache's", 1.05)],
  });
}

/** Chunked prefill, with and without LMCache. */
export function test_chunk_prefill({ model }: Settings): TestCase {
  const options = { enable_chunked_prefill: true };
  return testCase({
    engines: [forModel(model, { lmcache: lmcache(localCpu), options }), forModel(model, { options })],
    experiments: dummies(10),
    shows: [reuse('KV cache from CPU memory, with chunked prefill', 1.5)],
  });
}

/** Contexts of 12K, 24K and again 24K tokens: what is known of a context is not computed again. */
export function test_vary_length_workload({ model }: Settings): TestCase {
  return testCase({
    engines: [forModel(model, { lmcache: lmcache(localCpu) })],
    experiments: [experiment({ useCase: 'VARY', queries: 3, contextLength: 12_288 })],
    shows: [
      {
        what: 'a context that is known as a whole against one that is known by half',
        metric: 'TTFT',
        better: { engine: 0, requests: [2] },
        worse: { engine: 0, requests: [1] },
        atLeast: 1.5,
      },
    ],
  });
}

/** A conversation of ten turns: with save_decode_cache the answers are in the cache too. */
export function test_multi_turn({ model }: Settings): TestCase {
  return testCase({
    engines: [
      forModel(model, { lmcache: lmcache(localCpu) }),
      forModel(model, { lmcache: lmcache({ ...localCpu, save_decode_cache: true }) }),
    ],
    experiments: [experiment({ useCase: 'MULTI', queries: 10, contextLength: 16 })],
    shows: [
      {
        what: 'answers kept in the cache',
        metric: 'TTFT',
        better: { engine: 1, requests: 'later' },
        worse: { engine: 0, requests: 'later' },
        atLeast: 1.2,
      },
    ],
  });
}

/** The GPU's memory as LMCache's storage. */
export function test_lmcache_local_gpu(settings: Settings): TestCase {
  return against(settings, localGpu, {}, dummies(10), reuse('KV cache from GPU memory', 1.5));
}

/** The host's memory. */
export function test_lmcache_local_cpu(settings: Settings): TestCase {
  return against(settings, localCpu, {}, dummies(10), reuse('KV cache from CPU memory', 1.5));
}

/** The host's disk. */
export function test_lmcache_local_disk(settings: Settings): TestCase {
  const config = localDisk(`${settings.directory}/local-disk`);
  return against(settings, config, {}, dummies(10), reuse('KV cache from disk', 1.1));
}

/** The host's memory, by the engine that was the experimental one. */
export function test_local_cpu_experimental(settings: Settings): TestCase {
  const environment = { LMCACHE_USE_EXPERIMENTAL: 'True' };
  const config = { chunk_size: 256, local_cpu: true, max_local_cpu_size: 20 };
  return against(settings, config, { environment }, dummies(10), reuse('KV cache from CPU memory', 1.5));
}

/** The host's disk, by the engine that was the experimental one. */
export function test_local_disk_experimental(settings: Settings): TestCase {
  const environment = { LMCACHE_USE_EXPERIMENTAL: 'True' };
  const local_disk = `file://${settings.directory}/local-disk-experimental/`;
  const config = { chunk_size: 256, local_cpu: false, local_disk, max_local_disk_size: 20 };
  return against(settings, config, { environment }, dummies(10), reuse('KV cache from disk', 1.1));
}

/** The host's memory under a model that is spread over two GPUs. */
export function test_lmcache_local_distributed({ model }: Settings): TestCase {
  return testCase({
    engines: [forModel(model, { lmcache: lmcache(localCpu), tensorParallelSize: 2, gpuMemoryUtilization: 0.6 })],
    experiments: dummies(10),
    shows: [reuseAlone('KV cache from CPU memory, two GPUs', 1.5)],
  });
}

/** A remote server; its answers are taken layer by layer against as a whole. */
function pipelined(
  { model, cachePorts: [plain = 65_431, piped = 65_430] }: Settings,
  serde: 'cachegen' | 'safetensor',
  more: Shows,
): TestCase {
  return testCase({
    engines: [
      forModel(model, { lmcache: lmcache(remote(plain, serde, false)) }),
      forModel(model, { lmcache: lmcache(remote(piped, serde, true)) }),
    ],
    experiments: dummies(10),
    shows: [
      {
        what: `${serde} from a remote server, pipelined`,
        metric: 'TTFT',
        better: { engine: 1, requests: 'later' },
        worse: { engine: 0, requests: 'later' },
        atLeast: 1.05,
      },
      more,
    ],
  });
}

/** A remote server with cachegen's compression. */
export function test_lmcache_remote_cachegen(settings: Settings): TestCase {
  return pipelined(settings, 'cachegen', reuseAlone('cachegen from a remote server', 1.1));
}

/** A remote server without compression. */
export function test_lmcache_remote_safetensor(settings: Settings): TestCase {
  return pipelined(
    settings,
    'safetensor',
    compression('test_lmcache_remote_cachegen', 'test_lmcache_remote_safetensor'),
  );
}

function remoteDistributed(
  { model, cachePorts: [port = 65_431] }: Settings,
  serde: 'cachegen' | 'safetensor',
  shows: Shows,
): TestCase {
  return testCase({
    engines: [
      forModel(model, {
        lmcache: lmcache(remote(port, serde, false)),
        tensorParallelSize: 2,
        gpuMemoryUtilization: 0.6,
      }),
    ],
    experiments: dummies(10),
    shows: [shows],
  });
}

/** A remote server with compression, two GPUs. */
export function test_lmcache_cachegen_distributed(settings: Settings): TestCase {
  return remoteDistributed(settings, 'cachegen', reuseAlone('cachegen from a remote server, two GPUs', 1.1));
}

/** A remote server without compression, two GPUs. */
export function test_lmcache_safetensor_distributed(settings: Settings): TestCase {
  const shows = compression('test_lmcache_cachegen_distributed', 'test_lmcache_safetensor_distributed');
  return remoteDistributed(settings, 'safetensor', shows);
}

/** A remote server that keeps its data on disk. */
export function test_lmcache_remote_disk(settings: Settings): TestCase {
  const { cachePorts, directory } = settings;
  const config = remote(cachePorts[0] ?? 65_431, 'cachegen', false);
  const remoteDevice = `${directory}/lmcache-server`;
  return against(settings, config, { remoteDevice }, dummies(10), reuse('KV cache from a remote disk', 1.1));
}

/** Redis behind three sentinels. */
export function test_lmcache_redis_sentinel(settings: Settings): TestCase {
  const sentinels = settings.sentinelPorts.map((port) => `localhost:${port}`).join(',');
  const config: LmcacheSettings = {
    chunk_size: 256,
    local_device: null,
    local_cpu: false,
    remote_url: `redis-sentinel://${sentinels}`,
    remote_serde: 'cachegen',
    pipelined_backend: false,
  };
  const environment = { REDIS_SERVICE_NAME: 'redismaster' };
  const lengths = [10_375];
  return against(settings, config, { environment }, dummies(10, lengths), reuse('KV cache from Redis', 1.1));
}
