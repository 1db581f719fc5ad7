import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
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
});
