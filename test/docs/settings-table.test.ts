import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { settingGroups } from '../../docs/setting-groups.js';
import { renderSettingsTables, withSettingsTables } from '../../docs/settings-table.js';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

describe('the README’s settings', () => {
  it('are those that the steps define (else: npm run docs)', async () => {
    expect(withSettingsTables(readme, renderSettingsTables(await settingGroups()))).toBe(readme);
  });

  it.each([
    ['BUILD_ID', 'local_'],
    ['RESULTS_DIR', '/tmp/lmcache_ci_results_${BUILD_ID}'],
    ['VENV_DIR', '.venv'],
    ['MODEL', '`Qwen/Qwen3-14B`'],
    ['VLLM_PORT', '`8000`'],
    ['VLLM_BASELINE_PORT', '`9000`'],
    ['LMCACHE_PORT', '`6555`'],
    ['MAX_WAIT_SECONDS', '`300` s'],
    ['NUM_CONCURRENT', '`50`'],
    ['LIMIT', '`300`'],
    ['NUM_PROMPTS', '`50`'],
    ['RANDOM_INPUT_LEN', '`10000` tokens'],
    ['RANDOM_OUTPUT_LEN', '`1` tokens'],
    ['RANDOM_SEED', 'timestamp'],
    ['DOCUMENT_LENGTH', '`10000` tokens'],
    ['NUM_DOCUMENTS', '`30`'],
    ['OUTPUT_LEN', '`200` tokens'],
    ['MAX_LMCACHE_TTFT', '`0.22` s'],
    ['MAX_LMCACHE_QUERY_ROUND_TIME', '`0.58` s'],
    ['MAX_SLOWDOWN_PERCENT', '`5` %'],
    ['MIN_FREE_GPU_MIB', '`70000` MiB'],
    ['MAX_GPU_UTILIZATION', '`20` %'],
    ['GPU_WAIT_SECONDS', '`300` s'],
    ['L1_SIZE_GB', '`80` GB'],
    ['MAX_WORKERS', '`4`'],
  ])('keep the original suite’s name and default of %s', (name, text) => {
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${name}\` |`));
    expect(row?.split('|')[2]).toContain(text);
  });
});

describe('a table', () => {
  it('shows a shared setting once, units, choices and aliases, and keeps its cells whole', () => {
    const shared = { type: 'text', default: null, description: 'shared' } as const;
    const tables = renderSettingsTables([
      {
        title: 'A',
        settings: {
          SHARED: shared,
          SIZE: { type: 'integer', default: 80, unit: 'GB', aliases: ['OLD'], description: 'a | b' },
        },
      },
      { title: 'B', settings: { SHARED: shared } },
      {
        title: 'C',
        settings: {
          KIND: { type: 'choice', choices: ['x', 'y'], default: 'x', description: 'which' },
          ON: { type: 'flag', default: true, description: 'on' },
        },
      },
    ]);
    expect(tables).toBe(
      [
        '### A\n\n| Variable | Default | Meaning |\n|---|---|---|',
        '| `SHARED` | unset | shared |',
        '| `SIZE` | `80` GB | a \\| b Also: `OLD`. |',
        '',
        '### C\n\n| Variable | Default | Meaning |\n|---|---|---|',
        '| `KIND` | `x` | which (`x`, `y`) |',
        '| `ON` | `1` | on |',
      ].join('\n'),
    );
  });

  it('needs its markers', () => {
    expect(() => withSettingsTables('# no markers', '')).toThrow(/settings:begin/);
  });
});
