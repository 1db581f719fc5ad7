import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { external, lmcache, lmcacheServer, sglang, vllm, withOptions } from '../../../experiments/suite/build.js';
import { engineLabel } from '../../../experiments/suite/engine-label.js';
import {
  cacheServerSpec,
  type EnginePlace,
  engineSpec,
  type LaunchPlan,
  optionFlags,
} from '../../../experiments/suite/engine-launch.js';
import { readLmcacheFile, remoteServer, writeLmcacheYaml } from '../../../experiments/suite/lmcache-configuration.js';
import { SharedServers } from '../../../experiments/suite/shared-servers.js';

const plan: LaunchPlan = {
  engine: 'vllm',
  runtime: 'process',
  image: '',
  model: 'mistralai/Mistral-7B-Instruct-v0.2',
  hfHome: '/hf',
  hfTokenPath: null,
  simulator: null,
};
const place: EnginePlace = { port: 8001, gpus: [1], reserved: null, configFile: null, directories: [] };
const simulator = { profile: 'l40s', speed: 10, fault: null, command: ['node', 'main.js'] };

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

describe('an engine', () => {
  it('is vllm serve with what its configuration says', () => {
    const engine = vllm({ options: { max_model_len: 32_768, trust_remote_code: true, enable_chunked_prefill: false } });
    const spec = engineSpec(engine, place, plan);
    expect([...spec.command, ...spec.args].join(' ')).toBe(
      'vllm serve mistralai/Mistral-7B-Instruct-v0.2 --port 8001 --gpu-memory-utilization 0.8 --tensor-parallel-size 1 ' +
        '--no-enable-prefix-caching --max-model-len 32768 --trust-remote-code --no-enable-chunked-prefill',
    );
    expect(spec.environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '1', PYTHONHASHSEED: '0', HF_HOME: '/hf' });
    expect(spec.environment).not.toHaveProperty('LMCACHE_CONFIG_FILE');
  });

  it('has its own prefix cache only where it is asked for', () => {
    const spec = engineSpec(vllm({ options: { enable_prefix_caching: true } }), place, plan);
    expect(spec.args).toContain('--enable-prefix-caching');
    expect(spec.args).not.toContain('--no-enable-prefix-caching');
  });

  it('uses LMCache through its configuration file, and nothing of one engine reaches another', () => {
    const environment = { LMCACHE_USE_EXPERIMENTAL: 'True' };
    const engine = vllm({ lmcache: lmcache({ chunk_size: 256 }, { environment }), environment: { OWN: '1' } });
    const spec = engineSpec(engine, { ...place, configFile: '/run/lmcache.yaml' }, plan);
    expect(spec.args.join(' ')).toContain(
      '--kv-transfer-config {"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}',
    );
    expect(spec.environment).toMatchObject({
      LMCACHE_CONFIG_FILE: '/run/lmcache.yaml',
      LMCACHE_USE_EXPERIMENTAL: 'True',
      OWN: '1',
    });
    expect(Object.keys(engineSpec(vllm(), place, plan).environment).join()).not.toMatch(/LMCACHE|OWN/);
  });

  it('is SGLang with its own flags; the simulator stands in for both', () => {
    const engine = sglang({ tensorParallelSize: 2, gpuMemoryUtilization: 0.6, lmcache: lmcache('/a.yaml') });
    const spec = engineSpec(engine, { ...place, configFile: '/a.yaml', gpus: [0, 1] }, plan);
    expect([...spec.command, ...spec.args].join(' ')).toBe(
      'python3 -m sglang.launch_server --model-path mistralai/Mistral-7B-Instruct-v0.2 --port 8001 ' +
        '--mem-fraction-static 0.6 --tp-size 2 --enable-lmcache',
    );
    expect(spec.environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '0,1' });
    const simulated = engineSpec(engine, place, { ...plan, engine: 'sim', simulator });
    expect(simulated.command).toEqual(['node', 'main.js', 'vllm', 'serve']);
    expect(simulated.environment).toMatchObject({ SIM_PROFILE: 'l40s', SIM_SPEED: '10' });
    const served = sglang({ lmcache: lmcacheServer({ port: 6555 }) });
    expect(() => engineSpec(served, place, plan)).toThrow('SGLang has LMCache in its own process');
  });

  it('in a container sees its own cards from 0 on, with its files mounted', () => {
    const card = { index: 3, uuid: 'GPU-3', name: 'x', memoryTotalMiB: 1, memoryFreeMiB: 1 };
    const spec = engineSpec(
      vllm(),
      { ...place, gpus: [3], reserved: [card], directories: ['/run/config'] },
      { ...plan, runtime: 'docker', image: 'vllm:1', hfTokenPath: '/token' },
    );
    expect(spec.environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '0', HF_TOKEN_PATH: '/run/secrets/hf-token' });
    expect(spec.container).toMatchObject({ image: 'vllm:1', entrypoint: null, gpu: { uuids: ['GPU-3'] } });
    expect(spec.container.mounts.map(({ source }) => source)).toEqual(['/hf', '/token', '/run/config']);
  });

  it('takes options as flags', () => {
    expect(optionFlags({ a_b: '', c: false, d: { e: 1 }, f: 'g h', i: 0 })).toEqual([
      '--a-b',
      '--no-c',
      '--d',
      '{"e":1}',
      '--f',
      'g h',
      '--i',
      '0',
    ]);
    expect(withOptions(vllm({ options: { a: 1 } }), { b: 2 }).options).toEqual({ a: 1, b: 2 });
  });

  it('is named after what sets it apart', () => {
    const names = [
      vllm(),
      vllm({ lmcache: lmcache({ local_device: 'cpu', local_cpu: true, save_decode_cache: true }) }),
      vllm({
        tensorParallelSize: 2,
        lmcache: lmcache({ remote_url: 'lm://localhost:1', remote_serde: 'cachegen', pipelined_backend: true }),
      }),
      sglang({ lmcache: lmcache({ local_device: 'file:///d/' }) }),
      external('http://gpu:8000'),
      vllm({ label: 'mine' }),
    ].map(engineLabel);
    expect(names).toEqual([
      'vLLM',
      'vLLM + LMCache (cpu, decode cache)',
      'vLLM TP2 + LMCache (lm cachegen, pipelined)',
      'SGLang + LMCache (disk)',
      'http://gpu:8000',
      'mine',
    ]);
  });
});

describe("LMCache's configuration", () => {
  it('is written as the YAML that LMCache reads, and read back', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-yaml-'));
    directories.push(directory);
    const file = path.join(directory, 'lmcache.yaml');
    const settings = { chunk_size: 256, local_device: null, remote_url: 'lm://localhost:65431', own_key: [1, 2] };
    writeFileSync(file, writeLmcacheYaml(settings));
    expect(readLmcacheFile(file)).toEqual(settings);
    expect(() => readLmcacheFile(path.join(directory, 'none.yaml'))).toThrow(/none\.yaml" cannot be used: ENOENT/);
    writeFileSync(file, 'remote_url: 3\n');
    expect(() => readLmcacheFile(file)).toThrow(/lmcache\.yaml" cannot be used:[\s\S]*remote_url/);
  });

  it('names the server that is to be started', () => {
    expect(remoteServer('lm://localhost:65431')).toEqual({ host: 'localhost', port: 65_431 });
    expect(remoteServer('redis-sentinel://localhost:26379,localhost:26380')).toBeNull();
    expect(remoteServer(null)).toBeNull();
    for (const bad of ['lm://localhost', 'lm://localhost:0', 'lm://localhost:70000', 'localhost:1']) {
      expect(() => remoteServer(bad), bad).toThrow(`"${bad}"`);
    }
  });

  it('an LMCache server of its own is reached by its connector, and shared', async () => {
    const shared = lmcacheServer({ port: 6555, l1SizeGb: 30 });
    const { args } = engineSpec(vllm({ lmcache: shared }), place, plan);
    expect(args.join(' ')).toMatch(/"kv_connector":"LMCacheMPConnector".*"lmcache\.mp\.port":6555/);
    const card = { index: 3, uuid: 'GPU-3', name: 'x', memoryTotalMiB: 1, memoryFreeMiB: 1 };
    const servers = new SharedServers(plan);
    servers.need(shared, {}, [card]);
    servers.need(lmcacheServer({ port: 6555, l1SizeGb: 30 }), {}, [card]);
    expect(() => servers.need(lmcacheServer({ port: 6555 }), {}, [card])).toThrow('two engines share port 6555');
    const [spec, ...more] = await servers.specs('/nowhere');
    expect(more).toEqual([]);
    expect([...(spec?.command ?? []), ...(spec?.args ?? [])].join(' ')).toBe(
      'lmcache server --l1-size-gb 30 --eviction-policy LRU --port 6555 --http-host 127.0.0.1 --http-port 6556',
    );
    expect(spec?.environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '3' });
  });

  it('a server is started as LMCache starts it', () => {
    const spec = cacheServerSpec({ host: 'localhost', port: 65_431 }, '/data', { ...plan, engine: 'sim', simulator });
    expect([...spec.command, ...spec.args].join(' ')).toBe(
      'node main.js python3 -m lmcache.v1.server localhost 65431 /data',
    );
    expect(spec.ports).toEqual([65_431]);
  });
});
