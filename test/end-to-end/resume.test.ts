import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { waitUntil } from '../../engines/wait-until.js';
import { test } from './bench.js';

const twoTests = ['mp-test', '--only', 'lm-eval,long-doc-qa'];
const tiny = { LIMIT: '4' };

describe('mp-test --resume', () => {
  test('goes on after the last complete test of a run that was killed, with its settings', async ({ bench }) => {
    const killed = bench.start(twoTests, tiny);
    await killed.says(/\(long-doc-qa\) ===/);
    killed.signalGroup('SIGKILL');
    await killed.ended;
    const note = path.join(bench.resultsDir, 'orchestrator-lost.json');
    expect(await waitUntil(() => existsSync(note), 5000)).toBe(true);
    const before = bench.events();
    const status = await bench.run(['status', bench.resultsDir]);
    expect(status.stdout).toMatch(/lm-eval +passed/);
    expect(status.stdout).toMatch(/long-doc-qa +cut-off/);

    const resume = ['mp-test', '--resume', bench.buildId];
    const other = await bench.run([...resume, '--model', 'other/model', '--limit', '9'], { BUILD_ID: undefined });
    expect(other).toMatchObject({ code: 2 });
    expect(other.stderr).toContain('a resumed run keeps its settings; --model, --limit cannot be given anew');

    // Neither the environment's settings count, nor its BUILD_ID.
    const resumed = await bench.run([...resume, '--test-timeout-seconds', '100'], { BUILD_ID: 'x', LIMIT: '3' });
    expect(resumed.code, resumed.output).toBe(0);
    expect(resumed.stdout).toContain('Resumed: done already: lm-eval (passed).');
    const record = bench.record();
    expect(record).toMatchObject({ buildId: bench.buildId, verdict: { outcome: 'passed' }, command: twoTests });
    expect(record.steps.map(({ name, result }) => [name, result.outcome])).toEqual([
      ['build-image', 'skipped'],
      ['launch-containers', 'passed'],
      ['wait-for-vllm', 'passed'],
      ['lm-eval', 'passed'],
      ['long-doc-qa', 'passed'],
      ['cleanup', 'passed'],
    ]);
    const setting = (name: string) => record.settings.find((known) => known.name === name);
    expect(setting('LIMIT')).toMatchObject({ value: 4, origin: 'environment' });
    expect(setting('TEST_TIMEOUT_SECONDS')).toMatchObject({ value: 100, origin: 'flag' });
    expect(setting('VLLM_PORT')).toMatchObject({ requested: 'auto' });
    const started = (events: typeof before, step: string) =>
      events.filter((event) => event.type === 'step-started' && event.step === step).length;
    expect(started(bench.events(), 'lm-eval')).toBe(1);
    expect(started(bench.events(), 'long-doc-qa')).toBe(2);
    expect(existsSync(note)).toBe(false);
    expect((await bench.run(['status', bench.resultsDir])).stdout).toContain('passed (exit code 0)');

    const over = await bench.run(resume);
    expect(over).toMatchObject({ code: 2 });
    expect(over.stderr).toContain('that run has ended');
  });

  test('goes on with engines that were left up, and ends them', async ({ bench }) => {
    const kept = await bench.run(['mp-test', '--only', 'long-doc-qa', '--keep'], {
      SIM_SPEED: '4',
      TEST_TIMEOUT_SECONDS: '1',
    });
    expect(kept.code, kept.output).toBe(3);
    expect(kept.stdout).toContain('long-doc-qa" was not done after TEST_TIMEOUT_SECONDS=1');
    const engines = bench.liveRun().engines;
    const resumed = await bench.run(['mp-test', '--resume', bench.buildId, '--test-timeout-seconds', '60']);
    expect(resumed.code, resumed.output).toBe(0);
    const launched = bench.events().flatMap((event) => (event.type === 'engine-starting' ? [event.role] : []));
    expect(launched.sort()).toEqual(Object.keys(engines).sort());
    expect(bench.record().steps.map(({ name, result }) => [name, result.outcome])).toEqual([
      ['build-image', 'skipped'],
      ['launch-containers', 'passed'],
      ['wait-for-vllm', 'passed'],
      ['long-doc-qa', 'passed'],
      ['cleanup', 'passed'],
    ]);
  });

  test('refuses a run that is still going on, and one that is not there', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'lm-eval'], tiny);
    await run.says(/=== Wait for vLLM/);
    const live = await bench.run(['mp-test', '--resume', bench.buildId]);
    expect(live).toMatchObject({ code: 2 });
    expect(live.stderr).toContain('is still going on');
    run.signalGroup('SIGINT');
    expect(await run.ended).toMatchObject({ code: 130 });
    const absent = await bench.run(['mp-test', '--resume', 'no-such-run'], { RESULTS_DIR: undefined });
    expect(absent).toMatchObject({ code: 2 });
    expect(absent.stderr).toContain('/tmp/lmcache_ci_results_no-such-run');
    const invalid = await bench.run(['mp-test', '--resume', '../x']);
    expect(invalid.stderr).toContain('expected the BUILD_ID of an earlier run');
  });
});
