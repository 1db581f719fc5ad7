import { describe, expect, test } from 'vitest';
import { createRequest } from '../../docker/create-request.js';
import { DockerError } from '../../docker/errors.js';
import type { LaunchSpec } from '../../engines/launch-spec.js';

const connector =
  '{"kv_connector":"LMCacheMPConnector","kv_role":"kv_both","kv_connector_extra_config":{"lmcache.mp.port":6555}}';

const vllm: LaunchSpec = {
  role: 'vllm',
  name: 'vllm-mp-test-local_1',
  program: 'vllm-serve',
  args: [
    'Qwen/Qwen3-14B',
    '--kv-transfer-config',
    connector,
    '--attention-backend',
    'FLASH_ATTN',
    '--port',
    '8000',
    '--no-async-scheduling',
  ],
  environment: {
    VLLM_ENABLE_V1_MULTIPROCESSING: '0',
    VLLM_BATCH_INVARIANT: '1',
    PYTHONHASHSEED: '0',
    VLLM_SERVER_DEV_MODE: '1',
  },
  container: {
    image: 'lmcache/vllm-openai:test',
    entrypoint: null,
    mounts: [{ source: '/home/ci/.cache/huggingface', target: '/root/.cache/huggingface', readOnly: false }],
    gpu: { runtime: 'nvidia', uuids: ['GPU-00000001-0000-0000-0000-000000000000'] },
  },
  command: ['vllm', 'serve'],
  ports: [8000],
  healthUrl: 'http://127.0.0.1:8000/health',
};
const labels = { 'ci.lmcache.build-id': 'local_1', 'ci.lmcache.role': 'vllm' };

/** What `docker run -d --runtime nvidia --gpus device=... --network host --ipc host -v ... --env ...` sends. */
const vllmRequest = {
  name: 'vllm-mp-test-local_1',
  Image: 'lmcache/vllm-openai:test',
  Cmd: [
    'Qwen/Qwen3-14B',
    '--kv-transfer-config',
    connector,
    '--attention-backend',
    'FLASH_ATTN',
    '--port',
    '8000',
    '--no-async-scheduling',
  ],
  Env: ['VLLM_ENABLE_V1_MULTIPROCESSING=0', 'VLLM_BATCH_INVARIANT=1', 'PYTHONHASHSEED=0', 'VLLM_SERVER_DEV_MODE=1'],
  Labels: { 'ci.lmcache.build-id': 'local_1', 'ci.lmcache.role': 'vllm' },
  HostConfig: {
    NetworkMode: 'host',
    IpcMode: 'host',
    Binds: ['/home/ci/.cache/huggingface:/root/.cache/huggingface'],
    Runtime: 'nvidia',
    DeviceRequests: [{ Driver: '', DeviceIDs: ['GPU-00000001-0000-0000-0000-000000000000'], Capabilities: [['gpu']] }],
  },
};

describe('the create request', () => {
  test('of vLLM with LMCache, whole', () => {
    expect(createRequest(vllm, labels)).toStrictEqual(vllmRequest);
  });

  test('of the LMCache server, with an entrypoint of its own', () => {
    const server: LaunchSpec = {
      ...vllm,
      role: 'lmcache',
      name: 'lmcache-mp-test-local_1',
      program: 'lmcache-module',
      args: ['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--max-workers', '4', '--port', '6555'],
      environment: {},
      container: {
        ...vllm.container,
        entrypoint: ['/opt/venv/bin/python3', '-m', 'lmcache.v1.multiprocess.server'],
        mounts: [],
      },
    };
    expect(createRequest(server, { a: 'b' })).toStrictEqual({
      name: 'lmcache-mp-test-local_1',
      Image: 'lmcache/vllm-openai:test',
      Entrypoint: ['/opt/venv/bin/python3', '-m', 'lmcache.v1.multiprocess.server'],
      Cmd: ['--l1-size-gb', '80', '--eviction-policy', 'LRU', '--max-workers', '4', '--port', '6555'],
      Env: [],
      Labels: { a: 'b' },
      HostConfig: {
        NetworkMode: 'host',
        IpcMode: 'host',
        Binds: [],
        Runtime: 'nvidia',
        DeviceRequests: vllmRequest.HostConfig.DeviceRequests,
      },
    });
  });

  test('on the simulator differs by runtime and GPU request alone', () => {
    const { Runtime: _, DeviceRequests: __, ...host } = vllmRequest.HostConfig;
    expect(createRequest({ ...vllm, container: { ...vllm.container, gpu: null } }, labels)).toStrictEqual({
      ...vllmRequest,
      HostConfig: host,
    });
  });

  test('a read-only mount says so', () => {
    const mounts = [{ source: '/a', target: '/b', readOnly: true }];
    expect(createRequest({ ...vllm, container: { ...vllm.container, mounts } }, {}).HostConfig.Binds).toEqual([
      '/a:/b:ro',
    ]);
  });

  test('a colon in a path is refused instead of being read as a separator', () => {
    const mounts = [{ source: '/data/a:b', target: '/b', readOnly: false }];
    const make = (): unknown => createRequest({ ...vllm, container: { ...vllm.container, mounts } }, {});
    expect(make).toThrow(DockerError);
    expect(make).toThrow(/"\/data\/a:b" has a colon/);
  });
});
