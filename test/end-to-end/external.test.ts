import { createServer, type RequestListener, type Server } from 'node:http';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { type Bench, type Environment, type Running, root, test } from './bench.js';

interface Servers {
  readonly environment: Environment;
  end(): Promise<void>;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Simulated servers that somebody else has started, by the commands a person would type. */
async function startSimulators(bench: Bench, model: string): Promise<Servers> {
  const [lmcache, http, vllm, baseline] = await findFreePorts(4);
  const simulate = (...args: readonly string[]): Running =>
    bench.startProgram([process.execPath, path.join(root, 'pipeline', 'lmcache-ci.mjs'), 'simulate', ...args], {
      environment: { VLLM_SERVER_DEV_MODE: '1', SIM_PROFILE: 'h200-batch-invariant' },
    });
  const connector = {
    kv_connector: 'LMCacheMPConnector',
    kv_role: 'kv_both',
    kv_connector_extra_config: { 'lmcache.mp.port': lmcache },
  };
  const memory = ['--gpu-memory-utilization', '0.26'];
  const running = [
    simulate(
      ...['lmcache', 'server', '--l1-size-gb', '80', '--eviction-policy', 'LRU'],
      ...['--port', String(lmcache), '--http-host', '127.0.0.1', '--http-port', String(http)],
    ),
    simulate('vllm', 'serve', model, '--port', String(baseline), ...memory),
    simulate(
      ...['vllm', 'serve', model, '--port', String(vllm), ...memory],
      ...['--kv-transfer-config', JSON.stringify(connector)],
    ),
  ];
  await Promise.all(running.map(({ says }) => says(/Uvicorn running|Application startup complete/)));
  return {
    environment: {
      ENGINE: undefined,
      RUNTIME: 'external',
      VLLM_URL: `http://127.0.0.1:${vllm}`,
      VLLM_BASELINE_URL: `http://127.0.0.1:${baseline}/`,
      LMCACHE_URL: `http://127.0.0.1:${http}`,
    },
    end: async () => {
      for (const { kill } of running) kill('SIGTERM');
      await Promise.all(running.map(({ ended }) => ended));
    },
  };
}

/** Two vLLMs that answer by this. */
async function startFakes(listener: RequestListener): Promise<Servers> {
  const servers = [createServer(listener), createServer(listener)];
  const [vllm, baseline] = await Promise.all(servers.map(listen));
  return {
    environment: {
      ENGINE: 'vllm',
      RUNTIME: 'external',
      VLLM_URL: `http://127.0.0.1:${vllm}`,
      VLLM_BASELINE_URL: `http://127.0.0.1:${baseline}`,
    },
    end: async () => {
      for (const server of servers) server.closeAllConnections();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** Healthy, and a liar: whatever is asked for, this comes back. */
function garbage(bodies: Readonly<Record<string, string>>): RequestListener {
  return (request, response) => {
    const url = (request.url ?? '').split('?')[0] ?? '';
    request.resume().on('end', () => {
      if (url === '/v1/models') {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ object: 'list', data: [{ id: 'Qwen/Qwen3-14B', max_model_len: 40_960 }] }));
        return;
      }
      response.end(bodies[url] ?? '{}');
    });
  };
}

const tests = ['lm-eval', 'vllm-bench', 'long-doc-qa'];
const allTests = ['mp-test', '--keep-going', '--skip', 'build-image'];
const tiny = { NUM_DOCUMENTS: '2', DOCUMENT_LENGTH: '600', NUM_PROMPTS: '2', RANDOM_INPUT_LEN: '600', LIMIT: '2' };

describe('RUNTIME=external', () => {
  test('tests servers that run already, leaves them alone, and refuses what they are not', async ({ bench }) => {
    const servers = await startSimulators(bench, 'Qwen/Qwen3-14B');
    try {
      const ended = await bench.run(['mp-test', '--skip', 'vllm-bench'], servers.environment);
      expect(ended.code, ended.output).toBe(0);
      // That they are simulated they say themselves.
      expect(bench.record()).toMatchObject({
        engine: 'sim',
        simulated: { profile: 'h200-batch-invariant', speed: 10 },
        runtime: 'external',
      });
      expect(bench.record().steps.map(({ name, result }) => [name, result.outcome])).toEqual([
        ['build-image', 'skipped'],
        ['launch-containers', 'skipped'],
        ['wait-for-vllm', 'passed'],
        ['lm-eval', 'passed'],
        ['long-doc-qa', 'passed'],
        ['cleanup', 'skipped'],
      ]);
      const alive = await fetch(`${servers.environment['VLLM_URL']}/health`);
      expect(alive.status).toBe(200);

      const claimed = await bench.run(['mp-test', '--only', 'long-doc-qa'], { ...servers.environment, ENGINE: 'vllm' });
      expect(claimed.code, claimed.output).toBe(2);
      expect(claimed.stdout).toContain('says that it is simulated, the run that it is real: set ENGINE=sim');

      const other = await bench.run(['mp-test', '--only', 'long-doc-qa'], {
        ...servers.environment,
        MODEL: 'Qwen/Qwen3-32B',
      });
      expect(other.code, other.output).toBe(2);
      expect(other.stdout).toMatch(/does not serve "Qwen\/Qwen3-32B"; it serves "Qwen\/Qwen3-14B"/);
    } finally {
      await servers.end();
    }
  });

  test('a server that is not there', async ({ bench }) => {
    const [gone] = await findFreePorts(1);
    const ended = await bench.run(['mp-test', '--only', 'long-doc-qa'], {
      ENGINE: 'vllm',
      RUNTIME: 'external',
      VLLM_URL: `http://127.0.0.1:${gone}`,
      VLLM_BASELINE_URL: `http://127.0.0.1:${gone}`,
      MAX_WAIT_SECONDS: '1',
    });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/Not ready after MAX_WAIT_SECONDS=1: .*connection refused/);
  });

  const stream = (event: string) => `data: ${event}\n\ndata: [DONE]\n\n`;
  const usage = (tokens: string) =>
    stream(
      `{"choices":[{"index":0,"delta":{"content":"a"},"text":"a"}],"usage":{"prompt_tokens":${tokens},"completion_tokens":${tokens}}}`,
    );
  const completions = (body: string) => ({ '/v1/completions': body, '/v1/chat/completions': body });
  test.for([
    ['empty bodies', completions('')],
    ['no JSON', completions(stream('<html>'))],
    ['NaN as a number', { ...completions(usage('NaN')), '/metrics': 'vllm:external_prefix_cache_hits_total NaN\n' }],
    ['negative numbers', { ...completions(usage('-5')), '/metrics': 'vllm:external_prefix_cache_hits_total -1\n' }],
    ['plausible answers without any counter', completions(usage('600'))],
    ['metrics that are no metrics', { ...completions(usage('600')), '/metrics': '\0\0{"a":' }],
  ] as const)('%s never pass', async ([, bodies], { bench }) => {
    const servers = await startFakes(garbage(bodies));
    try {
      const ended = await bench.run(allTests, { ...servers.environment, ...tiny });
      expect([1, 3], ended.output).toContain(ended.code);
      for (const { name, result } of bench.record().steps.filter((step) => tests.includes(step.name)))
        expect(['failed', 'inconclusive'], `${name}: ${JSON.stringify(result)}`).toContain(result.outcome);
      expect(bench.record().steps.filter((step) => tests.includes(step.name))).toHaveLength(tests.length);
      // A wrong answer is a finding, not a bug of ours.
      expect(ended.output).not.toMatch(/failed \(unknown, exception\)/);
    } finally {
      await servers.end();
    }
  });
});
