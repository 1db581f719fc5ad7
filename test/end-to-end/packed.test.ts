import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { z } from 'zod';
import { findFreePorts } from '../../engines/free-ports.js';
import { root, test } from './bench.js';

const packedSchema = z.tuple([
  z.object({ filename: z.string(), size: z.number(), files: z.array(z.object({ path: z.string() })) }),
]);
const shippedTests = 'node_modules/lmcache-ci/tests/tests.ts';

describe('the packed package', () => {
  test('installed into an empty project it runs there, without setting anything up', async ({ bench }) => {
    const project = path.join(bench.directory, 'project');
    mkdirSync(project);
    writeFileSync(path.join(project, 'package.json'), '{"private": true}\n');
    // The registry and the cache of whoever runs the tests, not the bench's empty home.
    const npm = (cwd: string, ...args: readonly string[]) =>
      execFileSync('npm', [...args, '--loglevel=error'], { cwd, encoding: 'utf8', timeout: 170_000 });
    const packed: unknown = JSON.parse(npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', project));
    const [{ filename, size, files }] = packedSchema.parse(packed);
    expect(size).toBeLessThan(1_000_000);
    const superfluous = /^dist\/(?:\.|bench\/|docs\/)|^(?:test|bench|docs|node_modules)\/|\.test\.|\.tgz$/;
    expect(files.map((file) => file.path).filter((file) => superfluous.test(file))).toEqual([]);
    npm(project, 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', `./${filename}`);

    const installed = path.join(project, 'node_modules', 'lmcache-ci');
    expect(existsSync(path.join(installed, 'test'))).toBe(false);
    const ended = await bench.startProgram(['npx', 'lmcache-ci', 'mp-test', '--only', 'long-doc-qa'], {
      directory: project,
      environment: { VENV_DIR: undefined },
    }).ended;
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stderr).not.toMatch(/lmcache-ci: (installing|compiled)/);
    expect(bench.record().verdict).toMatchObject({ outcome: 'passed' });

    // A step of the package, by zx, without a checkout around it.
    const step = await bench.startProgram(['npx', 'zx', 'node_modules/lmcache-ci/steps/cleanup.mjs'], {
      directory: project,
    }).ended;
    expect(step.code, step.output).toBe(0);
    expect(step.stdout).toContain('nothing to clean up');

    // The shipped experiments, and a user's own with the package's types.
    const list = async (file: string) =>
      (await bench.startProgram(['npx', 'lmcache-ci', 'experiments', file, '-l'], { directory: project }).ended).stdout;
    expect((await list(shippedTests)).split('\n').filter(Boolean)).toHaveLength(16);
    writeFileSync(
      path.join(project, 'mine.ts'),
      `import { type TestCase, testCase, vllm } from 'lmcache-ci/experiments';
       export const test_mine = (): TestCase => testCase({ engines: [vllm({ port: 1 })], experiments: [] });
       // @ts-expect-error: a port is a number
       vllm({ port: 'x' });`,
    );
    expect(await list('mine.ts')).toBe('test_mine\n');

    // Experiments and a sweep, as far as they have something to measure; a busy machine leaves it unclear.
    const run = (...args: readonly string[]) =>
      bench.startProgram(['npx', 'lmcache-ci', ...args], {
        directory: project,
        environment: { SIM_SPEED: '50', ENGINE_LOG_DIR: project, DOCKER_HOST: `unix://${project}/no-daemon.sock` },
      }).ended;
    const ports = (await findFreePorts(2)).map(String);
    const experiments = await run('experiments', shippedTests, '-f', 'test_lmcache_local_cpu', '-p', ...ports);
    expect([0, 3], experiments.output).toContain(experiments.code);
    expect(experiments.output).not.toContain('FAILED');
    const [header = '', ...rows] = readFileSync(path.join(project, 'outputs/test_lmcache_local_cpu.csv'), 'utf8').split(
      '\n',
    );
    expect(header).toMatch(/^expr_id,timestamp,/);
    expect(rows.length).toBeGreaterThan(20);
    const sweep = await run('sweep');
    expect([0, 3], sweep.output).toContain(sweep.code);
    expect(sweep.stdout).toMatch(/successful: +1\b/);
    const check = [
      path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
      '--noEmit',
      '--strict',
      '--skipLibCheck',
    ];
    const modules = ['--module', 'nodenext', '--target', 'es2023', '--types', '', 'mine.ts'];
    const types = await bench.startProgram([process.execPath, ...check, ...modules], { directory: project }).ended;
    expect(types.code, types.output).toBe(0);
  });
});
