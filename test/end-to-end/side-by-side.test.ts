import path from 'node:path';
import { describe, expect } from 'vitest';
import { test } from './bench.js';

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
});
