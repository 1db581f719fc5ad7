import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { root, smallRun, test } from './bench.js';

/** The programs of a bare machine: no node, no npm. */
const bareMachine = ['sh', 'dirname', 'readlink'];

describe('the bundle', () => {
  test('unpacked into an empty directory it runs where no node is on PATH', async ({ bench }) => {
    // This Node and no compression: the registry's binary and xz at its best only cost time here.
    execFileSync(
      process.execPath,
      [path.join(root, 'dist/ci/bundle/main.js'), '--out', bench.directory, '--node', process.execPath, '--level', '0'],
      { timeout: 120_000, stdio: 'pipe' },
    );
    const [archive = ''] = readdirSync(bench.directory).filter((name) =>
      /^lmcache-ci-.*-linux-x64\.tar\.xz$/.test(name),
    );
    const empty = path.join(bench.directory, 'empty');
    const programs = path.join(bench.directory, 'programs');
    for (const folder of [empty, programs]) mkdirSync(folder);
    execFileSync('tar', ['-xf', path.join(bench.directory, archive), '-C', empty], { timeout: 60_000 });
    for (const name of bareMachine) {
      symlinkSync(
        execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(),
        path.join(programs, name),
      );
    }
    const [folder = ''] = readdirSync(empty);
    // By a link, as it would lie in /usr/local/bin.
    const launcher = path.join(empty, 'by-link');
    symlinkSync(path.join(folder, 'lmcache-ci'), launcher);
    const run = (args: readonly string[]) =>
      bench.startProgram([launcher, ...args], {
        directory: empty,
        environment: {
          ...smallRun,
          PATH: programs,
          NUM_DOCUMENTS: '2',
          NUM_PROMPTS: '2',
          LIMIT: '4',
          VENV_DIR: undefined,
        },
      }).ended;

    const help = await run(['--help']);
    expect(help.code, help.output).toBe(0);
    expect(help.stdout).toContain('lmcache-ci mp-test');
    const doctor = await run(['doctor']);
    expect(doctor.code, doctor.output).toBe(3);
    expect(doctor.stdout).toMatch(/missing +GPUs/);
    const small = await run(['mp-test', '--keep-going']);
    // Two documents fit into the engine's own cache: the run says so, and everything up to that has worked.
    expect(small.code, small.output).toBe(1);
    expect(small.stderr).not.toMatch(/lmcache-ci: (installing|compiled)/);
    const last = bench.record().steps.find(({ name }) => name === 'long-doc-qa');
    expect(last?.result).toMatchObject({ reason: 'cache-not-exercised' });
    const passed = bench.record().steps.filter(({ result }) => result.outcome === 'passed');
    expect(passed.map(({ name }) => name)).toContain('lm-eval');

    const texts = readdirSync(path.join(empty, folder, 'app', 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:js|json)$/.test(name))
      .map((name) => readFileSync(path.join(empty, folder, 'app', 'dist', name), 'utf8'));
    expect(texts.length).toBeGreaterThan(100);
    expect(texts.filter((text) => text.includes(root))).toEqual([]);
  });
});
