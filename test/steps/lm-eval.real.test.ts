import { readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { executeOwned } from '../../pipeline/execute.js';
import { lmEvalPackages } from '../../steps/lm-eval/packages.js';
import { setupVenv } from '../../steps/python-venv.js';
import { step } from '../../steps/run-lm-eval.js';
import type { StepProgress } from '../../steps/step.js';
import { fakeContext, settingsFor } from './fake-context.js';
import { type EngineFaults, startFakes } from './fake-engines.js';

/** Made once a machine: the same environment serves every run of the suite. */
const directory = path.join(os.homedir(), '.cache', 'lmcache-ci', 'test-venv');
const installLimitMs = 300_000;

const { signal } = new AbortController();
const quiet: StepProgress = { log: () => {}, warn: () => {}, update: () => {} };
const execute: Parameters<typeof setupVenv>[0]['execute'] = (command, options) =>
  executeOwned(command, { ...options, signal, owner: null });

async function runStep(faults: EngineFaults) {
  const { lmcache, vllm, baseline } = await startFakes({ onTestFinished }, faults);
  const context = await fakeContext({
    settings: settingsFor(step, { LM_EVAL: 'lm_eval', LIMIT: 12, NUM_CONCURRENT: 6 }),
    urls: { vllm: vllm.baseUrl, baseline: baseline.baseUrl, lmcache: lmcache.baseUrl },
    execute,
    setupVenv: (...packages) => setupVenv({ directory, packages, execute, progress: quiet, signal }),
  });
  onTestFinished(() => context.dispose());
  await step.prepare?.(context);
  return { context, result: await step.run(context), vllm };
}

// Installed from PyPI: the pinned versions, the driver and our task must work with the real thing.
describe('the real lm_eval', () => {
  it('is installed from PyPI, once', { timeout: installLimitMs }, async () => {
    const venv = await setupVenv({ directory, packages: lmEvalPackages, execute, progress: quiet, signal });
    const answer = await execute([venv.python, '-c', 'import importlib.metadata as m; print(m.version("lm_eval"))']);
    expect(lmEvalPackages[0]).toBe(`lm_eval[api]==${answer.stdout.trim()}`);
  });

  it('asks our task twice and leaves its samples in both places', { timeout: 120_000 }, async () => {
    const { context, result, vllm } = await runStep({ failFrom: { request: 3, status: 503, times: 1 } });
    expect(result).toMatchObject({ outcome: 'passed' });
    // lm_eval sends a failed request again by itself, which is told.
    expect(vllm.prompts).toHaveLength(24 + 1);
    expect(context.lines.filter((line) => line.startsWith('warning: lm_eval'))).toEqual([
      expect.stringMatching(/\(first_run\) sent 1 requests again, the first after: .*503.*; see ".*first_run\.log"\.$/),
    ]);
    expect(vllm.prompts[0]).toMatch(/^Book \d+: /);
    const first = context.results.path('lm_eval', 'first_run');
    const samples = (await readdir(first)).filter((file) => /^samples_gsm8k_.*\.jsonl$/.test(file));
    expect(samples).toHaveLength(1);
    const own = path.join(first, 'Qwen__Qwen3-14B', samples[0] ?? '');
    expect(await readFile(path.join(first, samples[0] ?? ''), 'utf8')).toBe(await readFile(own, 'utf8'));
    // Nothing of lm_eval's is left outside the results: neither prepared data sets nor its socket.
    expect((await readdir(os.tmpdir())).filter((entry) => entry.startsWith('lmcache-ci-lm-eval-'))).toEqual([]);
  });

  it('fails when the server does, with the end of its log', { timeout: 120_000 }, async () => {
    const { result } = await runStep({ failFrom: { request: 4, status: 400 } });
    expect(result).toMatchObject({ outcome: 'failed', reason: 'regression', cause: 'request-failed' });
    expect(result.outcome === 'failed' && result.evidence.join('\n')).toContain('the fake was told to fail');
  });
});
