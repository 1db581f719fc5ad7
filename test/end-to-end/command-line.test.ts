import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { root, test } from './bench.js';

describe('--help', () => {
  test.for([
    [[], 'Commands:'],
    [['mp-test'], '--max-lmcache-ttft'],
    [['step'], 'run-long-doc-qa'],
    [['step', 'long-doc-qa'], '--num-documents'],
    [['doctor'], 'Checks what a run on real engines needs'],
    [['clean'], '--older-than'],
    [['simulate'], 'vllm serve'],
  ] as const)('of %j', async ([command, said], { bench }) => {
    const ended = await bench.run([...command, '--help']);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain(said);
    expect(ended.stderr).toBe('');
  });

  test('is -h, too', async ({ bench }) => {
    const ended = await bench.run(['experiments', '-h']);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toMatch(/^ +-h, --help/m);
  });

  test('of the whole loads nothing heavy', async ({ bench }) => {
    const trace = `data:text/javascript,${encodeURIComponent(`
      import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(\`
        import { writeSync } from 'node:fs';
        export async function load(url, context, next) {
          writeSync(2, 'loads ' + url + '\\\\n');
          return next(url, context);
        }\`));`)}`;
    const program = path.join(root, 'pipeline', 'lmcache-ci.mjs');
    const run = (...args: string[]) =>
      bench.startProgram([process.execPath, '--import', trace, program, ...args]).ended;
    const help = await run('--help');
    expect(help.code, help.output).toBe(0);
    expect(help.stdout).toContain('Exit codes: 0 passed');
    const packages = (output: string) =>
      new Set([...output.matchAll(/^loads file:.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/gm)].map(([, name]) => name));
    expect(packages(help.stderr)).toContain('yargs');
    for (const name of ['zod', 'zx', 'dockerode', 'undici']) {
      expect(packages(help.stderr)).not.toContain(name);
    }
    // The trace sees them where they are loaded.
    expect(packages((await run('doctor', '--help')).stderr)).toContain('zod');
  });
});

describe('completion', () => {
  test.for([
    ['/bin/bash', 'complete -o bashdefault -o default -F _lmcache-ci_yargs_completions lmcache-ci'],
    ['/usr/bin/zsh', '#compdef lmcache-ci'],
    ['/usr/bin/fish', "complete -c lmcache-ci -a '(lmcache-ci --get-yargs-completions (commandline -opc)"],
  ] as const)('prints a script for %s', async ([shell, line], { bench }) => {
    const script = await bench.run(['completion'], { SHELL: shell });
    expect(script.code, script.output).toBe(0);
    expect(script.stdout).toContain(line);
    expect(script.stdout).toContain('lmcache-ci --get-yargs-completions');
  });

  test('completes commands, flags and steps', async ({ bench }) => {
    const complete = async (...words: string[]) =>
      (await bench.run(['--get-yargs-completions', 'lmcache-ci', ...words])).stdout.split('\n');
    expect(await complete('')).toEqual(expect.arrayContaining([expect.stringMatching(/^mp-test/)]));
    expect(await complete('step', '')).toEqual(expect.arrayContaining([expect.stringMatching(/^run-long-doc-qa/)]));
    expect(await complete('mp-test', '--max-lm')).toEqual(
      expect.arrayContaining([expect.stringMatching(/^--max-lmcache-ttft/)]),
    );
    expect(await complete('simulate', 'record', '--rep')).toEqual(
      expect.arrayContaining([expect.stringMatching(/^--repetitions/)]),
    );
  });
});

describe('--version', () => {
  test('is that of the package', async ({ bench }) => {
    expect((await bench.run(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('--dry-run', () => {
  test('prints steps, command lines and settings, starts nothing and makes nothing', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--dry-run', '--skip', 'lm-eval']);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain('Dry run: nothing was started.');
    expect(ended.stdout).toMatch(/lmcache server --l1-size-gb 80 .*--port \d+/);
    expect(ended.stdout).toMatch(/vllm serve Qwen\/Qwen3-14B --kv-transfer-config/);
    expect(ended.stdout).not.toMatch(/\d\. lm-eval/);
    expect(existsSync(bench.resultsDir)).toBe(false);
    expect(existsSync(bench.registryDir) ? readdirSync(bench.registryDir) : []).toEqual([]);
  });

  test('shows the containers of the real engines without a GPU, as they would be launched', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--dry-run'], {
      ENGINE: 'vllm',
      IMAGE: 'lmcache/vllm-openai:test',
      GPU_MEMORY_UTILIZATION: undefined,
    });
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain(`docker run --name vllm-mp-test-${bench.buildId}`);
    expect(ended.stdout).toContain('--network host --ipc host');
    expect(ended.stdout).toContain('--runtime nvidia --gpus');
    expect(ended.stdout).toContain('--env VLLM_BATCH_INVARIANT=1');
    expect(ended.stdout).not.toContain('SIMULATED');
  });
});

describe('--only and --skip', () => {
  test('run what was asked for and what it stands on', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'run-lm-eval', '--skip=build-image']);
    expect(ended.code, ended.output).toBe(0);
    expect(bench.record().steps.map(({ name }) => name)).toEqual([
      'launch-containers',
      'wait-for-vllm',
      'lm-eval',
      'cleanup',
    ]);
    expect(bench.record().command).toEqual(['mp-test', '--only', 'run-lm-eval', '--skip=build-image']);
  });
});

describe('--keep', () => {
  test('leaves the engines up and says how to reach and remove them, and so it can be done', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'wait-for-vllm', '--keep']);
    expect(ended.code, ended.output).toBe(0);
    expect(ended.stdout).toContain(`Left running as ${bench.buildId}:`);
    const url = /^ {2}vllm +(http:\S+)/m.exec(ended.stdout)?.[1];
    const answer = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'Qwen/Qwen3-14B', prompt: 'hi', max_tokens: 2 }),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-lmcache-ci-simulated')).toBe('h200');
    await answer.text();
    expect(bench.liveRun()).toMatchObject({ buildId: bench.buildId, mode: 'detached' });

    // Nothing dead is there to clean: a live run is never touched.
    expect(await bench.run(['clean'])).toMatchObject({ code: 0, stdout: 'Nothing is left over.\n' });
    expect(bench.liveRun()).toMatchObject({ buildId: bench.buildId });

    const removal = new RegExp(`BUILD_ID=${bench.buildId} npx zx steps/(cleanup)\\.mjs`).exec(ended.stdout)?.[1];
    expect(await bench.zx(removal ?? '')).toMatchObject({ code: 0 });
  });
});

describe('doctor', () => {
  test('names what is missing with its remedy', async ({ bench }) => {
    const ended = await bench.run(['doctor'], {
      DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock`,
      VLLM_PORT: '18000',
    });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toMatch(/missing +Docker daemon/);
    expect(ended.stdout).toMatch(/remedy: install docker\.io and start it/);
    expect(ended.stdout).toMatch(/port 18000/);
    expect(ended.stdout).toMatch(/\d+ things are missing for a run on real engines/);
    expect(ended.stdout).not.toContain('\u001b');
  });

  test('is painted where that is demanded, unless NO_COLOR forbids it', async ({ bench }) => {
    const paint = { FORCE_COLOR: '1', DOCKER_HOST: `unix://${bench.directory}/no-daemon.sock` };
    expect((await bench.run(['doctor'], paint)).stdout).toContain('\u001b[31mmissing');
    expect((await bench.run(['doctor'], { ...paint, NO_COLOR: '1' })).stdout).not.toContain('\u001b');
  });
});
