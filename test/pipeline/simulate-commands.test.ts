import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import yargs from 'yargs';
import { z } from 'zod';
import type { Command } from '../../pipeline/cli.js';
import { simulateCalibrateCommand } from '../../pipeline/commands/simulate-calibrate.js';
import { simulateStudyCommand } from '../../pipeline/commands/simulate-study.js';
import { UsageError } from '../../pipeline/usage-error.js';

const recording = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/recordings/h200/${name}`, import.meta.url));

afterEach(() => {
  vi.restoreAllMocks();
});

const COMMANDS: Readonly<Record<string, readonly [string, Command]>> = {
  calibrate: ['calibrate <recordings..>', simulateCalibrateCommand],
  study: ['study [workload]', simulateStudyCommand],
};

/** Runs a command in this process, as the command line does. */
async function run(name: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [usage = '', command] = COMMANDS[name] ?? [];
  let [out, err] = ['', ''];
  let code = 0;
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  try {
    await yargs([name, ...args])
      .command({
        command: usage,
        builder: async (inner) => (await command?.build(inner, args)) ?? inner,
        handler: async (parsed) => {
          code = (await command?.run(parsed)) ?? 0;
        },
      })
      .strict()
      .exitProcess(false)
      .fail((message, error) => {
        throw error ?? new UsageError(message);
      })
      .parseAsync();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    code = error.exitCode;
    err = error.message;
  }
  vi.restoreAllMocks();
  return { code, out, err };
}

describe('lmcache-ci simulate calibrate', () => {
  it('fits, says how far off it is on what it was not fitted on, and writes a profile that can be used', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'calibrate-'));
    try {
      const out = join(folder, 'mine.json');
      const files = [recording('single-baseline.csv'), recording('decode-baseline.csv.gz')];
      const fitted = await run('calibrate', ...files, '--out', out);
      expect([fitted.code, fitted.err]).toEqual([0, '']);
      expect(fitted.out).toMatch(/TTFT +validation +6 +\d\.\d %/);
      expect(fitted.out).toMatch(/step\.gemmEfficiency +0\.\d+ +0\.\d+/);
      const profile = z.object({ name: z.string() }).parse(JSON.parse(readFileSync(out, 'utf8')));
      expect(profile.name).toBe('mine');
      const compared = await run('calibrate', ...files, '--no-fit', '--profile', out);
      expect(compared.out).toContain('profile "mine" as it is');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('fits chosen constants on recordings of two models, and says how well each predicts the other', async () => {
    const blind = fileURLToPath(new URL('../fixtures/recordings/h200-blind/', import.meta.url));
    const both = ['qwen3-14b', 'qwen3-8b'].map((model) => join(blind, model, 'single-lmcache.csv'));
    const chosen = ['--constants', 'step.gemmEfficiency,api.requestSeconds'];
    const fitted = await run('calibrate', ...both, ...chosen, '--cross-validate');
    expect([fitted.code, fitted.err]).toEqual([0, '']);
    expect(fitted.out).toMatch(/^qwen3-14b +TTFT +training +9 /m);
    expect(fitted.out.match(/^(step|api)\.\w+/gm)).toEqual(['step.gemmEfficiency', 'api.requestSeconds']);
    expect(fitted.out).toMatch(/left out +TTFT, cold +TTFT\nqwen3-14b( +\d+\.\d %, \d+\.\d %){2}\nqwen3-8b /);
    const [kept = '', held = ''] = both;
    const left = await run('calibrate', kept, ...chosen, '--leave-out', held);
    expect(left.out).toMatch(/^qwen3-14b +TTFT +training +9 /m);
    expect(left.out).toMatch(/^qwen3-8b +TTFT +validation +18 /m);
    expect(left.out).not.toMatch(/^qwen3-8b +TTFT +training/m);
  });

  it('says loudly that a simulator was recorded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'calibrate-'));
    try {
      copyFileSync(recording('single-baseline.csv'), join(folder, 'single-baseline.csv'));
      writeFileSync(join(folder, 'recording.json'), '{ "simulated": { "profile": "h200", "speed": 10 } }');
      const out = join(folder, 'mine.json');
      const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
      await run('calibrate', folder, '--constants', 'step.gemmEfficiency', '--out', out);
      expect(errors.mock.calls.flat().join('')).toContain('SIMULATOR (profile "h200"), not from hardware');
      const { step } = z
        .object({ step: z.object({ gemmEfficiency: z.object({ source: z.string() }) }) })
        .parse(JSON.parse(readFileSync(out, 'utf8')));
      expect(step.gemmEfficiency.source).toContain('(SIMULATED)');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [['nowhere.csv'], 'nowhere.csv'],
    [[recording('single-baseline.csv'), '--profile', 'h20'], 'unknown profile "h20"'],
    [[recording('single-baseline.csv'), '--model', 'nobody/x'], '"Qwen/Qwen3-14B" was recorded, not "nobody/x"'],
    [[`${recording('single-baseline.csv')}:nobody/x`], 'no shape of the model "nobody/x"'],
    [[recording('single-baseline.csv'), '--constants', 'step.speed'], '--constants: profile "h200" has no constant'],
    [
      [recording('single-baseline.csv'), '--constants', 'step.hostLayerSeconds'],
      'cannot be fitted at its 0: "step.hostLayerSeconds"',
    ],
    [[recording('single-baseline.csv'), '--cross-validate'], '--cross-validate fits on all recordings but one'],
  ])('%j ends with 2', async (args, message) => {
    const ended = await run('calibrate', ...args);
    expect(ended.code).toBe(2);
    expect(ended.err).toContain(message);
  });
});

describe('lmcache-ci simulate study', () => {
  const small = ['--limit', '5', '--num-prompts', '3', '--num-documents', '3', '--output-len', '5'];

  it('prints both engines and is marked as simulated', async () => {
    const study = await run('study', ...small);
    expect(study.code).toBe(0);
    expect(study.out).toContain('SIMULATED in virtual time');
    expect(study.out).toMatch(/long-doc QA, query TTFT +[\d.]+ s +[\d.]+ s/);
  });

  it.each([
    [['--limit', '0'], '--limit is "0"'],
    [['--no-virtual-time'], 'virtual time only'],
    [['--profile', 'x'], 'unknown profile "x"'],
  ])('%j ends with 2', async (args, message) => {
    const ended = await run('study', ...args);
    expect(ended.code).toBe(2);
    expect(ended.err).toContain(message);
  });
});
