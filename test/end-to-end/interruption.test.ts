import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { waitUntil } from '../../engines/wait-until.js';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { orchestratorLostSchema } from '../../results-schema/orchestrator-lost.js';
import { type Bench, freePort, root, test } from './bench.js';

/** Long enough for every test to be still going on when the signal comes. */
const long = {
  LIMIT: '80',
  NUM_PROMPTS: '60',
  RANDOM_INPUT_LEN: '10000',
  NUM_DOCUMENTS: '60',
  DOCUMENT_LENGTH: '10000',
};
const signals = Object.entries(interruptExitCodes) as [keyof typeof interruptExitCodes, number][];

/** What is said in the middle of each step, and the steps in which the signal may be noticed then. */
const moments = [
  { step: 'launch-containers', says: /=== Launch containers/, noticedIn: ['launch-containers', 'wait-for-vllm'] },
  { step: 'wait-for-vllm', says: /waiting for lmcache/, noticedIn: ['wait-for-vllm'] },
  { step: 'lm-eval', says: /first_run on vllm/, noticedIn: ['lm-eval'] },
  { step: 'vllm-bench', says: /prompts of 10000 on baseline/, noticedIn: ['vllm-bench'] },
  { step: 'long-doc-qa', says: /baseline, warm-up/, noticedIn: ['long-doc-qa'] },
] as const;

function expectInterrupted(bench: Bench, signal: string, code: number, noticedIn: readonly (string | null)[]): void {
  const { verdict, steps, endedAt } = bench.record();
  expect(verdict).toMatchObject({ outcome: 'interrupted', exitCode: code, signal });
  expect(noticedIn).toContain(verdict !== null && 'step' in verdict ? verdict.step : null);
  expect(endedAt).not.toBeNull();
  expect(steps.at(-1)).toMatchObject({ name: 'cleanup', result: { outcome: 'passed' } });
  expect(bench.events().at(-1)).toMatchObject({ type: 'run-finished', verdict: { outcome: 'interrupted', signal } });
}

describe.for(moments)('during $step', ({ step, says, noticedIn }) => {
  test.concurrent.for(signals)('%s ends the run with %i, cleaned up', async ([signal, code], { bench }) => {
    const run = bench.start(['mp-test', '--only', step], long);
    await run.says(says);
    run.signalGroup(signal);
    const ended = await run.ended;
    expect(ended, ended.output).toMatchObject({ code, signal: null });
    expect(ended.stdout).toContain(`${signal}: cleaning up, nothing will be left behind`);
    expect(ended.stdout).toContain(`interrupted by ${signal}`);
    expectInterrupted(bench, signal, code, noticedIn);
  });
});

describe('during cleanup', () => {
  /** A baseline that hears no signal but SIGKILL until it is let go on: cleaning up takes as long as we want. */
  async function startWithDeafBaseline(bench: Bench) {
    const port = await freePort();
    const run = bench.start(['mp-test', '--only', 'wait-for-vllm'], {
      VLLM_BASELINE_PORT: String(port),
      MAX_WAIT_SECONDS: '3',
    });
    const pid = await bench.engineProcess(port);
    process.kill(pid, 'SIGSTOP');
    await run.says(/=== Clean up/);
    return { run, letGoOn: () => process.kill(pid, 'SIGCONT') };
  }

  test.for(signals)('%s ends the run with %i, after the cleanup', async ([signal, code], { bench }) => {
    const { run, letGoOn } = await startWithDeafBaseline(bench);
    run.signalGroup(signal);
    await run.says(new RegExp(`${signal}: cleaning up`));
    letGoOn();
    const ended = await run.ended;
    expect(ended, ended.output).toMatchObject({ code, signal: null });
    expectInterrupted(bench, signal, code, [null]);
  });

  test('more signals change nothing: what does not end by SIGTERM is killed, and nothing is left', async ({
    bench,
  }) => {
    const { run } = await startWithDeafBaseline(bench);
    run.signalGroup('SIGINT');
    await run.says(/SIGINT: cleaning up/);
    run.signalGroup('SIGINT');
    await run.says(/still cleaning up, please wait/);
    run.signalGroup('SIGTERM');
    const ended = await run.ended;
    expect(ended, ended.output).toMatchObject({ code: 130, signal: null });
    expectInterrupted(bench, 'SIGINT', 130, [null]);
    expect(bench.events()).toContainEqual(
      expect.objectContaining({ type: 'cleanup', forced: [`vllm-baseline-test-${bench.buildId}`], problems: [] }),
    );
  });
});

describe('kill -9', () => {
  test.for(['wait-for-vllm', 'long-doc-qa'] as const)(
    'of the whole run during %s: its keeper removes everything within 5 s, and notes it',
    async (step, { bench }) => {
      const run = bench.start(['mp-test', '--only', step], long);
      await run.says(step === 'long-doc-qa' ? /baseline, warm-up/ : /waiting for lmcache/);
      run.signalGroup('SIGKILL');
      const note = path.join(bench.resultsDir, 'orchestrator-lost.json');
      expect(await waitUntil(() => existsSync(note), 5000)).toBe(true);
      await bench.expectNothingLeft();
      expect(orchestratorLostSchema.parse(JSON.parse(readFileSync(note, 'utf8')))).toMatchObject({
        buildId: bench.buildId,
        orchestratorPid: run.pid,
        orchestratorAlive: false,
        removed: expect.arrayContaining([`vllm-mp-test-${bench.buildId}`]),
        problems: [],
      });
      // The directory tells whose it is, so that the next run of this id can move it away.
      expect(await bench.run(['mp-test', '--only', 'wait-for-vllm'])).toMatchObject({ code: 0 });
      expect(existsSync(`${bench.resultsDir}.1/orchestrator-lost.json`)).toBe(true);
    },
  );

  test('of the keeper: the run sees that nobody watches its engines, ends without a verdict and cleans up', async ({
    bench,
  }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], long);
    await run.says(/baseline, warm-up/);
    process.kill(bench.liveRun().keeper?.pid ?? 0, 'SIGKILL');
    const ended = await run.ended;
    expect(ended.code, ended.output).toBe(3);
    expect(bench.record().steps.at(-1)).toMatchObject({ name: 'cleanup', result: { outcome: 'passed' } });
  });
});

describe('a terminal that is closed', () => {
  // Where nobody said how wide it is, it has 0 columns.
  test.concurrent.for([120, 0])('of %i columns: the run is interrupted in order', async (columns, { bench }) => {
    const command = [
      process.execPath,
      path.join(root, 'pipeline', 'lmcache-ci.mjs'),
      'mp-test',
      '--only',
      'long-doc-qa',
    ];
    const terminal = path.join(root, 'test', 'fixtures', 'close-terminal.py');
    const run = bench.startProgram(['python3', terminal, String(columns), 'Long document QA', ...command], {
      environment: { ...long, TERM: 'xterm' },
    });
    const ended = await run.ended;
    // By the signal, which a shell calls 129.
    expect(ended.output).toBe('-1\n');
    expectInterrupted(bench, 'SIGHUP', 129, ['long-doc-qa']);
  });
});

describe('a reader that goes away', () => {
  test('(`| head -1`) interrupts as a closed terminal does, and leaves nothing behind', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], long);
    await run.says(/=== Wait for vLLM/);
    run.stopReading();
    const ended = await run.ended;
    expect(ended.code).toBe(129);
    expect(bench.record()).toMatchObject({ verdict: { outcome: 'interrupted' } });
  });

  test('ends a command that is no run, without a word', async ({ bench }) => {
    const command = `"$0" "$1" environments --help | true; exit \${PIPESTATUS[0]}`;
    const program = path.join(root, 'pipeline', 'lmcache-ci.mjs');
    const ended = await bench.startProgram(['bash', '-c', command, process.execPath, program]).ended;
    expect(ended.output).toBe('');
    expect(ended.code).toBe(129);
  });
});
