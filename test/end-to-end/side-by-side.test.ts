import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { freePort, test } from './bench.js';

describe('two runs side by side', () => {
  test('both pass, and each cleans up only its own', async ({ bench }) => {
    const start = (name: string, ...args: readonly string[]) =>
      bench.start(['mp-test', '--skip', 'vllm-bench', ...args], {
        BUILD_ID: `${bench.buildId}-${name}`,
        RESULTS_DIR: path.join(bench.directory, name),
        MAX_LMCACHE_QUERY_ROUND_TIME: '5',
      });
    const first = start('a', '--only', 'lm-eval');
    const second = start('b');
    const [a, b] = await Promise.all([first.ended, second.ended]);
    expect(a.code, a.output).toBe(0);
    expect(b.code, b.output).toBe(0);
    const ports = ['a', 'b'].flatMap((name) => {
      const record = bench.record(path.join(bench.directory, name));
      const removed = bench.events(path.join(bench.directory, name)).find(({ type }) => type === 'cleanup');
      expect(removed).toMatchObject({
        removed: expect.arrayContaining([`vllm-mp-test-${bench.buildId}-${name}`]),
        problems: [],
      });
      expect(JSON.stringify(removed)).not.toContain(`${bench.buildId}-${name === 'a' ? 'b' : 'a'}`);
      return record.settings.filter((setting) => setting.name.endsWith('_PORT')).map(({ value }) => value);
    });
    expect(new Set(ports).size).toBe(8);
  });

  test('with the same ports the second one ends with 3, names the first, and leaves it alone', async ({ bench }) => {
    const ports = {
      VLLM_PORT: String(await freePort()),
      VLLM_BASELINE_PORT: String(await freePort()),
      LMCACHE_PORT: String(await freePort()),
      LMCACHE_HTTP_PORT: String(await freePort()),
    };
    const first = bench.start(['mp-test', '--only', 'lm-eval'], ports);
    await first.says(/=== Wait for vLLM/);
    const second = await bench.run(['mp-test', '--only', 'lm-eval'], {
      ...ports,
      BUILD_ID: `${bench.buildId}-second`,
      RESULTS_DIR: path.join(bench.directory, 'second'),
    });
    expect(second.code, second.output).toBe(3);
    expect(second.stdout).toMatch(new RegExp(`(taken by .*run|given to run) ${bench.buildId}\\b`));
    expect(bench.record(path.join(bench.directory, 'second')).verdict).toMatchObject({
      reason: 'infrastructure',
      cause: 'port-taken',
    });
    const { code, output } = await first.ended;
    expect(code, output).toBe(0);
  });

  test("of one BUILD_ID in two registries never touch what is the other's", async ({ bench }) => {
    const elsewhere = path.join(bench.directory, 'elsewhere');
    mkdirSync(elsewhere, { mode: 0o700 });
    const first = bench.start(['mp-test', '--only', 'lm-eval'], { LIMIT: '80', SIM_SPEED: '1' });
    await first.says(/\(lm-eval\) ===/);
    // Not even its results, which the same BUILD_ID would move away.
    const same = await bench.run(['mp-test', '--only', 'wait-for-vllm'], { XDG_RUNTIME_DIR: elsewhere });
    expect(same.code, same.output).toBe(2);
    expect(same.stderr).toContain(`run "${bench.buildId}" is still alive`);
    const second = await bench.run(['mp-test', '--only', 'wait-for-vllm'], {
      XDG_RUNTIME_DIR: elsewhere,
      RESULTS_DIR: path.join(bench.directory, 'second'),
    });
    expect(second.code, second.output).toBe(0);
    expect(bench.events().some(({ type }) => type === 'engine-exited')).toBe(false);
    first.signalGroup('SIGINT');
    expect(await first.ended).toMatchObject({ code: 130 });
  });
});
