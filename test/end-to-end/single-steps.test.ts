import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { test } from './bench.js';
import { launched, ok, unnamed } from './manual-steps.js';

describe('the short manual sequence of the original suite, each step a process of its own, without BUILD_ID', () => {
  test('containers, one test, cleanup', async ({ bench }) => {
    const said = await ok(bench, 'launch-containers');
    const { buildId, resultsDir, ports } = launched(bench);
    expect(said).toContain(`BUILD_ID=${buildId} npx zx steps/cleanup.mjs`);
    const joins = `Joining run ${buildId} (sim on process, since `;
    expect(await ok(bench, 'wait-for-vllm')).toContain(joins);
    // The settings of the engines are the run's; the test's own are this process's.
    const asked = { ...unnamed, NUM_DOCUMENTS: '15', SIM_SPEED: '3', RESULTS_DIR: bench.resultsDir };
    const tested = await bench.zx('run-long-doc-qa', asked);
    expect(tested.code, tested.output).toBe(0);
    expect(tested.stdout).toContain(joins);
    const ignored = [...tested.output.matchAll(/(\w+)="[^"]*" has no effect: the run that was joined has "([^"]*)"/g)];
    expect(ignored.map(([, name, then]) => [name, then])).toEqual([
      ['RESULTS_DIR', resultsDir],
      ['SIM_SPEED', '10'],
    ]);
    expect(existsSync(bench.resultsDir)).toBe(false);
    expect(await ok(bench, 'cleanup')).toContain(joins);

    const record = bench.record(resultsDir);
    expect(record.steps.map(({ name, result }) => [name, result.outcome])).toEqual([
      ['launch-containers', 'passed'],
      ['wait-for-vllm', 'passed'],
      ['long-doc-qa', 'passed'],
      ['cleanup', 'passed'],
    ]);
    expect(record).toMatchObject({ buildId, engine: 'sim', simulated: { profile: 'h200', speed: 10 } });
    for (const setting of [
      { name: 'SIM_SPEED', value: 10, origin: 'joined run' },
      { name: 'VLLM_PORT', value: ports.vllm, origin: 'joined run' },
    ])
      expect(record.settings).toContainEqual(expect.objectContaining(setting));
    expect(bench.events(resultsDir).filter(({ type }) => type === 'run-started')).toHaveLength(4);
  });
});

describe('a step that joins', () => {
  test('lists the runs where there are several, and takes the one that BUILD_ID names', async ({ bench }) => {
    const run = (name: string) => ({
      BUILD_ID: `${bench.buildId}-${name}`,
      RESULTS_DIR: path.join(bench.directory, name),
    });
    // Named by RESULTS_DIR alone, the image's build is the beginning of the run that is launched there.
    expect(await bench.run(['step', 'build-image'], { ...run('a'), BUILD_ID: undefined })).toMatchObject({ code: 0 });
    for (const name of ['a', 'b'])
      expect(await bench.run(['step', 'launch-containers'], run(name))).toMatchObject({ code: 0 });
    expect(bench.record(path.join(bench.directory, 'a')).steps.map(({ name }) => name)).toEqual([
      'build-image',
      'launch-containers',
    ]);
    try {
      const which = await bench.run(['step', 'wait-for-vllm'], unnamed);
      expect(which.code, which.output).toBe(2);
      expect(which.stderr).toContain('2 live runs on this machine; say which one by BUILD_ID:');
      for (const name of ['a', 'b']) expect(which.stderr).toContain(`BUILD_ID=${bench.buildId}-${name}  `);

      const said = await bench.run(['step', 'wait-for-vllm'], { ...unnamed, BUILD_ID: `${bench.buildId}-b` });
      expect(said.code, said.output).toBe(0);
      expect(said.stdout).toContain(`Joining run ${bench.buildId}-b `);
    } finally {
      for (const name of ['a', 'b'])
        expect(await bench.run(['step', 'cleanup', '--build-id', `${bench.buildId}-${name}`], unnamed)).toMatchObject({
          code: 0,
        });
    }
  });

  test('says how to launch a run where there is none; cleanup has nothing to do then', async ({ bench }) => {
    for (const environment of [unnamed, { ...unnamed, BUILD_ID: 'gone' }]) {
      const ended = await bench.zx('run-long-doc-qa', environment);
      expect(ended.code, ended.output).toBe(2);
      expect(ended.stderr).toContain('Launch one first: npx zx steps/launch-containers.mjs');
      const cleanup = await bench.zx('cleanup', environment);
      expect(cleanup.code, cleanup.output).toBe(0);
      expect(cleanup.stdout).toContain('nothing to clean up');
    }
    expect(existsSync(bench.resultsDir)).toBe(false);
  });

  test('fails by the same exit codes as a whole run, and leaves the run up', async ({ bench }) => {
    expect(await bench.run(['step', 'launch-containers'])).toMatchObject({ code: 0 });
    expect(await bench.run(['step', 'wait-for-vllm'])).toMatchObject({ code: 0 });
    try {
      // Two documents fit into the engine's own cache: LMCache has nothing to do.
      const unused = await bench.run(['step', 'long-doc-qa', '--num-documents', '2']);
      expect(unused.code, unused.output).toBe(1);
      const typo = await bench.run(['step', 'long-doc-qa', '--num-documents', 'x']);
      expect(typo.code, typo.output).toBe(2);
      const other = await bench.run(['step', 'long-doc-qa', '--model', 'Qwen/Qwen3-32B']);
      expect(other.code, other.output).toBe(2);

      const interrupted = bench.start(['step', 'long-doc-qa', '--num-documents', '60', '--document-length', '10000']);
      await interrupted.says(/baseline, warm-up/);
      interrupted.signalGroup('SIGINT');
      expect(await interrupted.ended).toMatchObject({ code: 130 });
      expect(await bench.run(['step', 'long-doc-qa'])).toMatchObject({ code: 0 });
    } finally {
      expect(await bench.run(['step', 'cleanup'])).toMatchObject({ code: 0 });
    }
  });

  test('launching that is interrupted or fails leaves nothing up', async ({ bench }) => {
    const run = bench.start(['step', 'launch-containers']);
    await run.says(/=== Launch containers/);
    run.signalGroup('SIGINT');
    const ended = await run.ended;
    // Either it was noticed, or everything was up before: then it stays, as if no signal had come.
    expect([0, 130], ended.output).toContain(ended.code);
    if (ended.code === 0) await bench.run(['step', 'cleanup']);
  });
});
