import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import { type Bench, test as base, root, takePort } from './bench.js';

/** A machine on which a real run could start: a daemon that answers, two idle cards, the model in the cache. */
interface Machine {
  readonly environment: Record<string, string>;
  /** Named as the daemon names them. */
  runtimes: readonly string[];
  rootless: boolean;
}

const test = base.extend<{ machine: Machine }>({
  machine: async ({ bench }, use) => {
    const runtimes = ['runc', 'nvidia'];
    const machine: Machine = { environment: {}, runtimes, rootless: false };
    const daemon = createServer((request, response) => {
      const answer = (value: unknown) =>
        response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
      if (request.url?.endsWith('/_ping')) response.end('OK');
      else if (request.url?.endsWith('/version')) answer({ Version: '28.2.2', ApiVersion: '1.50' });
      else {
        const known = Object.fromEntries(machine.runtimes.map((name) => [name, { path: name }]));
        answer({
          Runtimes: known,
          // As rootless daemons and those with seccomp say it.
          SecurityOptions: machine.rootless ? ['name=seccomp,profile=builtin', 'name=rootless'] : ['name=seccomp'],
          DockerRootDir: '/var/lib/docker',
          OSType: 'linux',
          Architecture: 'x86_64',
        });
      }
    });
    const socket = path.join(bench.directory, 'docker.sock');
    await new Promise<void>((resolve) => daemon.listen(socket, resolve));
    Object.assign(machine.environment, {
      DOCKER_HOST: `unix://${socket}`,
      PATH: `${fakeNvidiaSmi(bench)}:${bench.environment['PATH']}`,
      HF_HOME: fakeCache(bench),
    });
    await use(machine);
    daemon.closeAllConnections();
    await new Promise((resolve) => daemon.close(resolve));
  },
});

function fakeNvidiaSmi(bench: Bench): string {
  const bin = path.join(bench.directory, 'bin');
  mkdirSync(bin);
  const recorded = readFileSync(path.join(root, 'test/docker/fixtures/nvidia-smi-idle.2xH200.xml.gz'));
  writeFileSync(path.join(bin, 'nvidia-smi.xml'), gunzipSync(recorded));
  writeFileSync(path.join(bin, 'nvidia-smi'), `#!/bin/sh\nexec cat '${bin}/nvidia-smi.xml'\n`);
  chmodSync(path.join(bin, 'nvidia-smi'), 0o755);
  return bin;
}

function fakeCache(bench: Bench): string {
  const cache = path.join(bench.directory, 'cache');
  mkdirSync(path.join(cache, 'hub', 'models--Qwen--Qwen3-14B'), { recursive: true });
  return cache;
}

describe('doctor', () => {
  test('finds all that a real run needs, and ends with 0', async ({ bench, machine }) => {
    const ended = await bench.run(['doctor'], machine.environment);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/ok +Docker daemon +28\.2\.2 at unix:/);
    expect(ended.stdout).toMatch(/ok +BuildKit/);
    expect(ended.stdout).toMatch(/ok +NVIDIA runtime/);
    expect(ended.stdout).toMatch(/ok +GPUs +GPU 0 NVIDIA H200 \d+ MiB free; GPU 1 NVIDIA H200 \d+ MiB free/);
    expect(ended.stdout).toMatch(/ok +model +"Qwen\/Qwen3-14B" is in the cache/);
    expect(ended.stdout).toMatch(/ok +Python/);
    expect(ended.stdout).toContain('A run on real engines can start here.');
  });

  test('without Docker asks for the programs instead, which are a note otherwise', async ({ bench, machine }) => {
    const has = (folder: string) => ['vllm', 'lmcache'].some((program) => existsSync(path.join(folder, program)));
    const folders = (machine.environment['PATH'] ?? '').split(':').filter((folder) => !has(folder));
    const noPrograms = { ...machine.environment, PATH: folders.join(':') };
    const withDocker = await bench.run(['doctor'], noPrograms);
    expect(withDocker.stdout).toMatch(/note +vllm +not on PATH.*\n +remedy: pip install vllm lmcache/);
    const missing = await bench.run(['doctor', '--runtime', 'process'], noPrograms);
    expect(missing.code, missing.output).toBe(3);
    expect(missing.stdout).not.toContain('Docker daemon');
    expect(missing.stdout).toContain('2 things are missing for a run on real engines.');
    for (const program of ['vllm', 'lmcache'])
      writeFileSync(path.join(bench.directory, 'bin', program), '#!/bin/sh\n', { mode: 0o755 });
    const complete = await bench.run(['doctor', '--runtime', 'process'], noPrograms);
    expect(complete.code, complete.output).toBe(0);
    expect(complete.stdout).toMatch(/ok +lmcache +\/.*\/bin\/lmcache/);
  });

  test('names each thing that is missing, with its remedy, and ends with 3', async ({ bench, machine }) => {
    machine.runtimes = ['runc'];
    machine.rootless = true;
    const { port, close } = await takePort();
    try {
      const ended = await bench.run(['doctor'], {
        ...machine.environment,
        VLLM_PORT: String(port),
        MIN_FREE_GPU_MIB: '200000',
        MODEL: 'somebody/something',
      });
      expect(ended.code, ended.output).toBe(3);
      expect(ended.stdout).toMatch(
        /missing +NVIDIA runtime +the daemon knows runc\n +remedy: install nvidia-container-toolkit/,
      );
      expect(ended.stdout).toMatch(/missing +host network +the daemon is rootless/);
      expect(ended.stdout).toMatch(/missing +GPUs .*\n +remedy: two GPUs with 200000 MiB free each are needed/);
      expect(ended.stdout).toContain(`taken by process ${process.pid} (`);
      expect(ended.stdout).toMatch(/remedy: end that process, or set VLLM_PORT to another port or to auto/);
      expect(ended.stdout).toMatch(/note +model .*\n +remedy: hf download somebody\/something/);
      expect(ended.stdout).toContain('4 things are missing for a run on real engines.');
    } finally {
      await close();
    }
  });
});
