import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { waitUntil } from '../../engines/wait-until.js';
import { test } from './bench.js';

describe('lmcache-ci status', () => {
  test('after kill -9 in the middle: what is there, what is missing, and why', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'long-doc-qa'], { SIM_SPEED: '1' });
    await run.says(/baseline, /);
    const during = await bench.run(['status', bench.resultsDir]);
    expect(during.stdout).toContain('running: still running');
    run.kill('SIGKILL');
    expect(await waitUntil(() => existsSync(path.join(bench.resultsDir, 'orchestrator-lost.json')), 5000)).toBe(true);
    const after = await bench.run(['status', bench.resultsDir]);
    expect(after.code, after.output).toBe(0);
    expect(after.stdout).toContain('orchestrator-lost: infrastructure: orchestrator lost');
    expect(after.stdout).toMatch(/long-doc-qa +cut-off/);
    expect(after.stdout).toContain('long_doc_qa/lmcache_result.json  missing');
    const json = await bench.run(['status', '--json', bench.resultsDir]);
    expect(JSON.parse(json.stdout)).toMatchObject({ buildId: bench.buildId, state: 'orchestrator-lost' });
  });

  test('of a directory without a run is exit code 2', async ({ bench }) => {
    const empty = path.join(bench.directory, 'empty');
    mkdirSync(empty);
    expect(await bench.run(['status', empty])).toMatchObject({ code: 2 });
    expect(await bench.run(['status', path.join(empty, 'absent')])).toMatchObject({ code: 2 });
  });
});
