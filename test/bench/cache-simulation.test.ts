import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/run-cache-simulation.mjs', import.meta.url));
let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'lmcache-ci-bench-test-'));
});
afterEach(() => rmSync(scratch, { recursive: true }));

const run = (...args: readonly string[]) =>
  promisify(execFile)(process.execPath, [script, ...args]).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );

describe('npm run bench:cache-simulation', () => {
  it('prints every stage with its speed, its memory and its verdict, and leaves nothing behind', async () => {
    const { code, stdout } = await run('--rows', '3000', '--sizes', '3', '--scratch', scratch);
    // Three thousand rows are too few to be fast: what counts is what the verdicts say together.
    expect(code).toBe(stdout.includes('MISSED') ? 1 : 0);
    for (const stage of ['generate', 'convert', 'lru', 'fifo', 'conversation', 'belady']) {
      expect(stdout).toMatch(
        new RegExp(`^${stage} +[\\d,]+ +(rows|accesses) .*/s +[\\d,]+ MiB +(met|MISSED|no limit)`, 'm'),
      );
    }
    expect(readdirSync(scratch)).toEqual([]);
  }, 120_000);

  it('refuses what is no number', async () => {
    expect(await run('--rows', 'many')).toMatchObject({ code: 2, stderr: expect.stringContaining('"many"') });
  });
});
