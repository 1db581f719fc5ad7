import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
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

  it.each([
    [['nowhere.csv'], 'nowhere.csv'],
    [[recording('single-baseline.csv'), '--profile', 'h20'], 'unknown profile "h20"'],
    [[recording('single-baseline.csv'), '--model', 'nobody/x'], 'no shape of the model "nobody/x"'],
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
