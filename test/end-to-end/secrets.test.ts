import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { type Bench, type Ended, test } from './bench.js';

/** Each of another kind, and all of them in every run below. */
const given = {
  HF_TOKEN: 'hf_QkzVtNoOneMaySeeThis',
  OPENAI_API_KEY: 'sk-proj-"quoted" and spaced',
  DEPLOY_SECRET: 'päss wörd $(id)',
  REGISTRY_PASSWORD: 'pass\\word;rm',
} as const;
const inDotenv = { WANDB_KEY: 'wandb-0123456789abcdef', MY_SERVICE_TOKEN: 'only-in-dotenv-4711' } as const;
const values = [...Object.values(given), ...Object.values(inDotenv)];

const tiny = { NUM_DOCUMENTS: '2', NUM_PROMPTS: '2', LIMIT: '4' };

/** Files the run wrote, everything it said, and the arguments of the processes it had. */
function expectHidden(bench: Bench, ended: Ended): void {
  const files = readdirSync(bench.resultsDir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const texts = files.map((entry) => {
    const file = path.join(entry.parentPath, entry.name);
    expect(statSync(file).mode & 0o002, `${file} is world-writable`).toBe(0);
    return { where: file, text: readFileSync(file, 'utf8') };
  });
  expect(texts.map(({ where }) => path.basename(where))).toContain('run.json');
  for (const { where, text } of [...texts, { where: 'its output', text: ended.output }]) {
    for (const value of values) {
      for (const spelling of [value, JSON.stringify(value).slice(1, -1)]) {
        expect(text.includes(spelling), `"${spelling}" stands in ${where}`).toBe(false);
      }
    }
  }
}

function writeDotenv(bench: Bench): void {
  const lines = Object.entries(inDotenv).map(([name, value]) => `${name}=${value}`);
  writeFileSync(path.join(bench.directory, 'work', '.env'), `${lines.join('\n')}\n`);
}

describe('secrets of environment and .env', () => {
  test('stand nowhere in what a passing run leaves', async ({ bench }) => {
    writeDotenv(bench);
    const ended = await bench.run(['mp-test', '--only', 'lm-eval'], { ...given, ...tiny });
    expect(ended.code, ended.output).toBe(0);
    expectHidden(bench, ended);
  });

  test('are hidden where a failing engine, its log and the summary show a setting that holds them', async ({
    bench,
  }) => {
    writeDotenv(bench);
    const ended = await bench.run(['mp-test', '--only', 'long-doc-qa'], {
      ...given,
      ...tiny,
      SIM_PROFILE: `no-such-profile ${given.HF_TOKEN} ${inDotenv.MY_SERVICE_TOKEN}.json`,
    });
    expect(ended.code, ended.output).toBe(3);
    expect(ended.output).toContain('no-such-profile *** ***.json');
    expect(bench.record().settings.find(({ name }) => name === 'SIM_PROFILE')?.value).toBe(
      'no-such-profile *** ***.json',
    );
    expectHidden(bench, ended);
  });

  test('are hidden in a refusal that quotes a bad value', async ({ bench }) => {
    const ended = await bench.run(['mp-test', '--limit', given.DEPLOY_SECRET], given);
    expect(ended.code).toBe(2);
    expect(ended.output).toContain('***');
    for (const value of values) expect(ended.output).not.toContain(value);
  });

  test('reach no argument list while the run goes on', async ({ bench }) => {
    const run = bench.start(['mp-test', '--only', 'lm-eval'], { ...given, ...tiny });
    const seen: string[] = [];
    const look = setInterval(() => {
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
          if (readFileSync(`/proc/${pid}/environ`, 'utf8').includes(bench.buildId)) {
            seen.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
          }
        } catch {
          // Ended while we looked.
        }
      }
    }, 50);
    const ended = await run.ended.finally(() => clearInterval(look));
    expect(ended.code, ended.output).toBe(0);
    expect(seen.some((command) => command.includes('vllm serve'))).toBe(true);
    for (const command of seen) for (const value of values) expect(command).not.toContain(value);
  });

  test("an open umask does not open the results to everybody's writing", async ({ bench }) => {
    const command = 'umask 000; exec "$0" "$@"';
    const ended = await bench.startProgram(
      [
        'sh',
        '-c',
        command,
        process.execPath,
        path.join(import.meta.dirname, '../../pipeline/lmcache-ci.mjs'),
        'mp-test',
        '--only',
        'lm-eval',
      ],
      { environment: { ...given, ...tiny } },
    ).ended;
    expect(ended.code, ended.output).toBe(0);
    const entries = readdirSync(bench.resultsDir, { recursive: true }).map((name) =>
      path.join(bench.resultsDir, String(name)),
    );
    for (const entry of [bench.resultsDir, ...entries]) expect(statSync(entry).mode & 0o002, entry).toBe(0);
    expectHidden(bench, ended);
  });
});
