import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readProcessStat } from '../../engines/process-identity.js';
import { waitUntil } from '../../engines/wait-until.js';
import { executeOwned } from '../../pipeline/execute.js';

/** A keeper that answers only when the program has long ended. */
async function untilGone(group: number): Promise<void> {
  for (;;) {
    try {
      process.kill(group, 0);
    } catch {
      return;
    }
    await delay(5);
  }
}
const slowKeeper = { own: untilGone, disown: async () => {} };

describe('executeOwned', () => {
  it('has the whole output of a program that ends before its keeper has answered', async () => {
    const program = 'console.log("out"); console.error("err"); process.exitCode = 7';
    const lines: string[] = [];
    const result = await executeOwned([process.execPath, '-e', program], {
      signal: AbortSignal.timeout(20_000),
      owner: slowKeeper,
      onLine: (line, stream) => lines.push(`${stream} ${line}`),
    });
    expect(result).toMatchObject({ exitCode: 7, stdout: 'out\n', stderr: 'err\n', timedOut: false });
    expect(lines.sort()).toEqual(['stderr err', 'stdout out']);
  });

  it('ends a program when the run is aborted while the keeper is being told', async () => {
    const controller = new AbortController();
    const owner = { own: async () => controller.abort(new Error('interrupted')), disown: async () => {} };
    const running = executeOwned([process.execPath, '-e', 'setInterval(() => {}, 1000)'], {
      signal: controller.signal,
      owner,
    });
    await expect(running).rejects.toThrow('interrupted');
  });

  const script = (source: string): readonly string[] => [process.execPath, '-e', source];
  const options = { signal: AbortSignal.timeout(30_000), owner: null };

  it('says what cannot be started, without throwing', async () => {
    const result = await executeOwned(['no-such-program-here'], options);
    expect(result).toMatchObject({ exitCode: null, stderr: expect.stringContaining('ENOENT') });
  });

  it('starts nothing for a run that is over', async () => {
    await expect(
      executeOwned(script(''), { ...options, signal: AbortSignal.abort(new Error('over')) }),
    ).rejects.toThrow('over');
  });

  it('ends what takes too long', async () => {
    const result = await executeOwned(script('setInterval(() => {}, 1000)'), { ...options, timeoutMs: 200 });
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGTERM', timedOut: true });
  });

  it('takes grandchildren along that outlive the program', async () => {
    const grandchild =
      "require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })";
    const result = await executeOwned(script(`console.log(${grandchild}.pid); process.exit(0)`), options);
    expect(result.exitCode).toBe(0);
    const isGone = () => ['Z', undefined].includes(readProcessStat(Number(result.stdout))?.state);
    expect(await waitUntil(isGone, 2000)).toBe(true);
  });

  it('does not wait for what a program has left behind in a session of its own, which holds its output open', async () => {
    const left =
      "require('child_process').spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'inherit', detached: true })";
    const started = performance.now();
    const result = await executeOwned(script(`console.log(${left}.pid); process.exit(3)`), options);
    process.kill(Number(result.stdout), 'SIGKILL');
    expect(result.exitCode).toBe(3);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it('loses its log, not its result, on a disk that is full', async () => {
    const result = await executeOwned(script("console.log('said')"), { ...options, logPath: '/dev/full' });
    expect(result).toMatchObject({ exitCode: 0, stdout: 'said\n' });
  });

  it('appends everything to its log, without ANSI codes, and closes standard input', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'lmcache-ci-execute-'));
    try {
      const logPath = path.join(directory, 'logs', 'a.log');
      const source = "process.stdin.on('end', () => console.log('\\x1b[31mred\\x1b[0m')).resume()";
      for (const _ of [1, 2]) await executeOwned(script(source), { ...options, logPath });
      expect(await readFile(logPath, 'utf8')).toBe('red\nred\n');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('tells its owner of the group, and that it is over', async () => {
    const told: string[] = [];
    const owner = {
      own: async (group: number) => void told.push(`own ${group > 1}`),
      disown: async (group: number) => void told.push(`disown ${group > 1}`),
    };
    await executeOwned(script(''), { ...options, owner });
    expect(told).toEqual(['own true', 'disown true']);
  });
});
