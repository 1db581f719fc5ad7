import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { waitUntil } from '../../engines/wait-until.js';
import { type Bench, test } from './bench.js';
import { enginePid, liveRecord } from './live-record.js';

const tiny = { NUM_DOCUMENTS: '2', NUM_PROMPTS: '2', LIMIT: '4' };

function stepRecord(bench: Bench, step: string) {
  return bench.record().steps.find(({ name }) => name === step);
}

describe('a step that is stuck', () => {
  test('ends at its limit and says what it was waiting for, with the stack of the engine that hangs', async ({
    bench,
  }) => {
    const bin = path.join(bench.directory, 'bin');
    mkdirSync(bin);
    writeFileSync(path.join(bin, 'py-spy'), '#!/bin/sh\necho "Thread 0x1 (idle): \\"MainThread\\" of $3"\n');
    chmodSync(path.join(bin, 'py-spy'), 0o755);
    const run = bench.start(['mp-test', '--only', 'lm-eval'], {
      ...tiny,
      TEST_TIMEOUT_SECONDS: '4',
      SIM_SPEED: '1',
      PATH: `${bin}:${process.env.PATH}`,
    });
    await run.says(/=== .*\(lm-eval\)/);
    const pid = await enginePid(bench, 'vllm');
    process.kill(pid, 'SIGSTOP');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    const result = stepRecord(bench, 'lm-eval')?.result;
    expect(result).toMatchObject({ outcome: 'failed', reason: 'unknown', cause: 'timeout' });
    expect(result).toMatchObject({ message: expect.stringContaining('TEST_TIMEOUT_SECONDS=4') });
    const evidence = result?.outcome === 'failed' ? result.evidence.join('\n') : '';
    expect(evidence).toMatch(/vllm: ready, answers no answer in time; [1-9]\d* connections to it are open/);
    expect(evidence).toMatch(new RegExp(`; it is process ${pid} \\(.*\\), state T`));
    expect(evidence).toContain(`  > Thread 0x1 (idle): "MainThread" of ${pid}`);
    expect(evidence).toMatch(/baseline: ready, answers HTTP 200, \d+ requests running, \d+ waiting/);
    const names = bench.record().settings.map(({ name }) => name);
    for (const kind of ['SETUP', 'TEST', 'CLEANUP']) expect(names).toContain(`${kind}_TIMEOUT_SECONDS`);
  });
});

describe('RETRY_INFRASTRUCTURE', () => {
  test('tries a step again that the machine has failed, and keeps each try', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'lm-eval'], {
      ...tiny,
      RETRY_INFRASTRUCTURE: '1',
      // On a machine under load the engines take longer than they need for themselves.
      MAX_WAIT_SECONDS: '6',
    });
    const pid = await enginePid(bench, 'baseline');
    process.kill(pid, 'SIGSTOP');
    await run.says(/"wait-for-vllm" failed by infrastructure: try 2 of 2/);
    process.kill(pid, 'SIGCONT');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(0);
    const record = stepRecord(bench, 'wait-for-vllm');
    expect(record?.result.outcome).toBe('passed');
    expect(record?.tries).toHaveLength(1);
    expect(record?.tries?.[0]?.result).toMatchObject({ reason: 'infrastructure', cause: 'timeout' });
  });

  test('never tries again what the code under test did', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--only', 'long-doc-qa'], {
      RETRY_INFRASTRUCTURE: '1',
      SIM_FAULT: 'no-cache',
    });
    expect(ended.code, ended.output).toBe(1);
    expect(
      bench.events().filter((event) => event.type === 'step-started' && event.step === 'long-doc-qa'),
    ).toHaveLength(1);
    expect(stepRecord(bench, 'long-doc-qa')?.tries).toBeUndefined();
  });

  test('is off on a machine of a person: the first failure counts', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'lm-eval'], { ...tiny, MAX_WAIT_SECONDS: '2' });
    process.kill(await enginePid(bench, 'baseline'), 'SIGSTOP');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    expect(stepRecord(bench, 'wait-for-vllm')?.tries).toBeUndefined();
  });
});

describe('DETACHED_TTL', () => {
  test('ends engines that nobody has cleaned up, announced, and noted in the results', async ({ bench }) => {
    const launched = await bench.run(['step', 'launch-containers'], { DETACHED_TTL: '4s' });
    expect(launched.code, launched.output).toBe(0);
    expect(launched.stdout).toContain('It goes by itself after 4s (DETACHED_TTL).');
    const expiresAt = Date.parse(liveRecord(bench)?.expiresAt ?? '');
    expect(expiresAt - Date.now()).toBeLessThan(4000);
    expect(await waitUntil(() => liveRecord(bench) === null, 10_000)).toBe(true);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt - 50);
    expect(await waitUntil(() => bench.events().some(({ type }) => type === 'cleanup'), 5000)).toBe(true);
    expect(bench.events()).toContainEqual(
      expect.objectContaining({ type: 'warning', message: expect.stringContaining('DETACHED_TTL') }),
    );
  });

  test('refuses what is no time', async ({ bench }) => {
    expect(await bench.run(['step', 'launch-containers'], { DETACHED_TTL: 'soon' })).toMatchObject({ code: 2 });
  });
});
