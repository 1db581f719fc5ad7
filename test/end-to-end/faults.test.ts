import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { type Bench, freePort, root, takePort, test } from './bench.js';

function stepResult(bench: Bench, step: string) {
  return bench.record().steps.find(({ name }) => name === step)?.result;
}

describe('engines', () => {
  test('a port that is taken: by whom, and nothing is started', async ({ bench }) => {
    const { port, close } = await takePort();
    try {
      const ended = await bench.run(['mp-test'], { VLLM_PORT: String(port) });
      expect(ended.code, ended.output).toBe(3);
      expect(ended.stdout).toContain(
        `port ${port} (vllm-mp-test-${bench.buildId}) is taken by process ${process.pid} (`,
      );
      expect(ended.stdout).toContain('set VLLM_PORT');
      expect(bench.events().some(({ type }) => type === 'engine-starting')).toBe(false);
      expect(stepResult(bench, 'launch-containers')).toMatchObject({ reason: 'infrastructure', cause: 'port-taken' });
    } finally {
      await close();
    }
  });

  test('one that dies during a test: how, and the end of its log', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'long-doc-qa'], { SIM_FAULT: 'crash-after=9' });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/The vllm engine "vllm-mp-test-\S+" died during the test: ended with exit code 1/);
    expect(stepResult(bench, 'long-doc-qa')).toMatchObject({
      cause: 'engine-died',
      evidence: expect.arrayContaining([expect.stringContaining('SIM_FAULT')]),
    });
    expect(bench.events()).toContainEqual(
      expect.objectContaining({ type: 'engine-exited', role: 'vllm', expected: false }),
    );
  });

  test('one that dies before it serves fails at once, not when time runs out', async ({ bench }) => {
    const started = performance.now();
    const ended = await bench.run(['mp-test'], { SIM_PROFILE: 'no-such-card.json' });
    expect(ended.code, ended.output).toBe(3);
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(ended.stdout).toMatch(/ended with exit code \d+ before it served/);
    expect(ended.stdout).toContain('no-such-card.json');
    expect(stepResult(bench, 'wait-for-vllm')).toMatchObject({ cause: 'engine-died' });
  });

  test('an LMCache server that is killed during a test', async ({ bench }) => {
    const port = await freePort();
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], { LMCACHE_PORT: String(port) });
    await run.says(/lmcache, query/);
    process.kill(await bench.engineProcess(port), 'SIGKILL');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/The lmcache engine "lmcache-mp-test-\S+" died during the test: .*SIGKILL/);
    expect(stepResult(bench, 'long-doc-qa')).toMatchObject({ cause: 'engine-died' });
  });

  test('one that never serves: what was still missing when time ran out', async ({ bench }) => {
    const port = await freePort();
    const run = bench.start(['mp-test'], { VLLM_BASELINE_PORT: String(port), MAX_WAIT_SECONDS: '4' });
    const pid = await bench.engineProcess(port);
    process.kill(pid, 'SIGSTOP');
    await run.says(/Not ready after/);
    process.kill(pid, 'SIGCONT');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/Not ready after MAX_WAIT_SECONDS=4: baseline \(.+\)\. Raise it/);
    expect(stepResult(bench, 'wait-for-vllm')).toMatchObject({ reason: 'infrastructure', cause: 'timeout' });
  });
});

describe('the results directory', () => {
  test("that is a symbolic link, a file, somebody else's or another run's is refused", async ({ bench }) => {
    const at = (name: string) => path.join(bench.directory, name);
    mkdirSync(at('real'));
    symlinkSync(at('real'), at('link'));
    writeFileSync(at('file'), '');
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o777);
    mkdirSync(at('used'));
    writeFileSync(path.join(at('used'), 'run.json'), '{}');
    for (const [name, said] of [
      ['link', 'is a symbolic link'],
      ['file', 'is a file'],
      ['file/below', 'cannot be written'],
      ['open', 'can be written by everybody'],
      ['used', 'holds "run.json'],
    ] as const) {
      const ended = await bench.run(['mp-test'], { RESULTS_DIR: at(name) });
      expect(ended.code, ended.output).toBe(2);
      expect(ended.stderr).toContain(said);
      expect(ended.stderr).toContain('Nothing was started.');
    }
  });

  test('that may not be written is refused', async ({ bench }) => {
    const closed = path.join(bench.directory, 'closed');
    mkdirSync(closed, { mode: 0o555 });
    chmodSync(bench.directory, 0o755);
    // Root may write everywhere: another user then.
    const nobody = 65_534;
    const registry = path.join(bench.directory, 'registry-of-nobody');
    mkdirSync(registry);
    chmodSync(registry, 0o1777);
    const run = bench.startProgram([process.execPath, path.join(root, 'pipeline', 'lmcache-ci.mjs'), 'mp-test'], {
      environment: {
        RESULTS_DIR: path.join(closed, 'results'),
        XDG_RUNTIME_DIR: registry,
        HOME: registry,
        TMPDIR: registry,
      },
      directory: registry,
      ...(process.getuid?.() === 0 ? { uid: nobody } : {}),
    });
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(2);
    expect(ended.stderr).toContain('cannot be written (EACCES');
    expect(existsSync(path.join(closed, 'results'))).toBe(false);
  });

  test('of a live run is refused, and so is its BUILD_ID elsewhere', async ({ bench }) => {
    expect(await bench.run(['step', 'launch-containers'])).toMatchObject({ code: 0 });
    try {
      const same = await bench.run(['mp-test']);
      expect(same.code, same.output).toBe(2);
      expect(same.stderr).toContain(`run "${bench.buildId}" is still alive`);

      const elsewhere = await bench.run(['mp-test'], { RESULTS_DIR: path.join(bench.directory, 'elsewhere') });
      expect(elsewhere.code, elsewhere.output).toBe(2);
      expect(elsewhere.output).toContain(`BUILD_ID "${bench.buildId}" belongs to a live run`);
      expect(elsewhere.output).not.toMatch(/^ +at /m);

      const other = await bench.run(['mp-test'], { BUILD_ID: `${bench.buildId}-2` });
      expect(other.code, other.output).toBe(2);
      expect(other.stderr).toContain(`run "${bench.buildId}" is still alive`);
    } finally {
      expect(await bench.run(['step', 'cleanup'])).toMatchObject({ code: 0 });
    }
  });
});

describe("a run's results", () => {
  test('that somebody removes while it runs: told, and the verdict is written all the same', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'wait-for-vllm']);
    await run.says(/waiting for lmcache/);
    rmSync(bench.resultsDir, { recursive: true });
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(0);
    expect(ended.output).toContain("Somebody has removed this run's results while it ran");
    expect(bench.record().verdict).toMatchObject({ outcome: 'passed' });
  });
});

describe('tools', () => {
  /** A PATH with node and what a shell needs, but no Python. */
  function pathWithoutPython(bench: Bench): string {
    const directory = path.join(bench.directory, 'bin');
    mkdirSync(directory);
    symlinkSync(process.execPath, path.join(directory, 'node'));
    return directory;
  }

  test('lm_eval without Python fails and says what to install', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], {
      LM_EVAL: 'lm_eval',
      PATH: pathWithoutPython(bench),
      VENV_DIR: path.join(bench.directory, 'venv'),
    });
    expect(ended.code, ended.output).toBe(2);
    expect(stepResult(bench, 'lm-eval')).toMatchObject({ reason: 'configuration', cause: 'tool-missing' });
    expect(ended.stdout).toMatch(/Python/);
  });

  test('without Python and with LM_EVAL=auto the native client asks, and says so', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], {
      LM_EVAL: 'auto',
      PATH: pathWithoutPython(bench),
      VENV_DIR: path.join(bench.directory, 'venv'),
    });
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain('native client (not lm_eval)');
    expect(stepResult(bench, 'lm-eval')).toMatchObject({
      message: expect.stringContaining('native client (not lm_eval)'),
    });
  });

  test('RUNTIME=docker without a daemon is an infrastructure failure', async ({ bench }) => {
    const ended = await bench.run(['mp-test'], {
      RUNTIME: 'docker',
      DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock`,
    });
    expect(ended.code, ended.output).toBe(3);
    expect(stepResult(bench, 'build-image')).toMatchObject({ reason: 'infrastructure', cause: 'daemon-unreachable' });
    expect(ended.stdout).toContain('no-daemon.sock');
  });
});
