import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Docker from 'dockerode';
import { expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { parseExperimentCsv } from '../../results-schema/experiment-csv.js';
import { measuringTest as test } from '../end-to-end/bench.js';

const docker = new Docker();

const ownTests = (cachePort: number) => `
import { experiment, lmcache, testCase, vllm } from 'lmcache-ci/experiments';
const remote = { chunk_size: 256, local_cpu: false, remote_url: 'lm://localhost:${cachePort}', remote_serde: 'cachegen' } as const;
export const test_containers = () => testCase({
  engines: [vllm({ lmcache: lmcache(remote) }), vllm()],
  experiments: [experiment({ queries: 3, gap: 2, contextLength: 2000, maxTokens: 8 })],
});
`;

test('experiments in containers: engines and the cache server they share', async ({ bench }) => {
  const environment = { RUNTIME: 'docker', ENGINE_LOG_DIR: path.join(bench.directory, 'logs') };
  const built = await bench.run(['step', 'build-image'], environment);
  expect(built.code, built.output).toBe(0);
  const [cachePort = 0, ...ports] = await findFreePorts(3);
  const directory = path.join(bench.directory, 'work');
  writeFileSync(path.join(directory, 'mine.ts'), ownTests(cachePort));
  const ended = await bench.run(['experiments', 'mine.ts', '-p', ...ports.map(String)], environment);
  expect(ended.code, ended.output).toBe(0);
  const csv = path.join(directory, 'outputs', 'test_containers.csv');
  expect(parseExperimentCsv(readFileSync(csv, 'utf8'), csv).rows).toHaveLength(6);
  for (const port of [cachePort, ...ports]) {
    const log = readFileSync(path.join(environment.ENGINE_LOG_DIR, `${port}-stdout.log`), 'utf8');
    expect(log).toContain('SIMULATED');
  }
  const left = await docker.listContainers({ all: true, filters: { label: ['ci.lmcache.build-id'] } });
  expect(left.flatMap(({ Names }) => Names).filter((name) => /experiments_/.test(name))).toEqual([]);
});
