import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { test } from './bench.js';

const tiny = { NUM_DOCUMENTS: '2', NUM_PROMPTS: '2', LIMIT: '4' };

describe('values that a shell would take apart', () => {
  /** What a value has run has left a file behind. */
  const pwned = (directory: string) =>
    readdirSync(directory, { recursive: true }).filter((name) => path.basename(String(name)).startsWith('pwned'));

  test('a directory goes through a whole run as it is', async ({ bench }) => {
    const resultsDir = path.join(bench.directory, 'results $(touch pwned-1) "\';雪 -x');
    const ended = await bench.run(['mp-test', '--only', 'lm-eval', '--results-dir', resultsDir], tiny);
    expect(ended.code, ended.output).toBe(0);
    expect(bench.record(resultsDir).verdict?.outcome).toBe('passed');
    expect(pwned(bench.directory)).toEqual([]);
  });

  test("a model's name arrives at the engine as it is", async ({ bench }) => {
    const model = 'org/mo del$(touch pwned-2);`touch pwned-3`,base_url=http://127.0.0.1:1 "\'ü';
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], { ...tiny, MODEL: model });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.stdout).toContain(`no shape of the model "${model}"`);
    expect(bench.record().model).toBe(model);
    expect(pwned(bench.directory)).toEqual([]);
  });

  test.for([
    ['MODEL', '--trust-remote-code'],
    ['MODEL', 'a\nb'],
    ['BUILD_ID', '../../etc'],
    ['BUILD_ID', 'a;b'],
    ['NUM_PROMPTS', '1;id'],
    ['VLLM_PORT', '$(id)'],
    ['ENGINE', 'sim --x'],
    ['SIM_FAULT', 'crash-after=1 x'],
    ['VLLM_URL', 'file:///etc/passwd'],
  ] as const)('%s=%j is refused with exit code 2, and nothing is started', async ([name, value], { bench }) => {
    const ended = await bench.run(['mp-test'], { [name]: value });
    expect(ended.code, ended.output).toBe(2);
    expect(ended.stderr).toContain('Nothing was started');
    expect(existsSync(bench.resultsDir)).toBe(false);
  });
});
