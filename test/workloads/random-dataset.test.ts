import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findLocalTokenizer, loadLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import type { BenchPrompt } from '../../workloads/bench/options.js';
import type { PromptTokenizer } from '../../workloads/bench/prompt-tokenizer.js';
import { sampleRandomDataset, sharesPrompt } from '../../workloads/bench/random-dataset.js';
import { prepareBenchServe } from '../../workloads/bench-serve.js';
import recorded from '../fixtures/workloads/random-dataset.json' with { type: 'json' };

const { signal } = new AbortController();
const fixture = (name: string): string => new URL(`../fixtures/workloads/tokenizers/${name}`, import.meta.url).pathname;

const plain = ({ text, promptLen, outputLen }: BenchPrompt) => ({ text, promptLen, outputLen });

/** The same tokenizer, answering out of order as a server would. */
function concurrent(tokenizer: PromptTokenizer): PromptTokenizer {
  let calls = 0;
  const late = async <Value>(value: Promise<Value>): Promise<Value> => {
    calls += 1;
    for (let turn = calls % 5; turn > 0; turn -= 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return value;
  };
  const { direct: _, ...slow } = tokenizer;
  return {
    ...slow,
    concurrency: 8,
    decode: (ids) => late(tokenizer.decode(ids)),
    encode: (text) => late(tokenizer.encode(text)),
  };
}

describe.each(recorded.cases)(
  'the random data set of vllm bench serve: $tokenizer, $num prompts of $input_len, seed $seed, range $range_ratio, prefix $prefix_len',
  (recordedCase) => {
    const options = {
      numPrompts: recordedCase.num,
      randomInputLen: recordedCase.input_len,
      randomOutputLen: recordedCase.output_len,
      randomRangeRatio: recordedCase.range_ratio,
      randomPrefixLen: recordedCase.prefix_len,
      seed: recordedCase.seed,
    };

    test('equals what the real program made', async () => {
      const tokenizer = await loadLocalTokenizer(fixture(recordedCase.tokenizer));
      const prompts = await sampleRandomDataset(tokenizer, options, { signal });
      expect(prompts.map(plain)).toEqual(recordedCase.prompts);
    });

    test('does not depend on the order in which a tokenizer answers', async () => {
      const tokenizer = concurrent(await loadLocalTokenizer(fixture(recordedCase.tokenizer)));
      const prompts = await sampleRandomDataset(tokenizer, options, { signal });
      expect(prompts.map(plain)).toEqual(recordedCase.prompts);
    });
  },
);

test('options that leave nothing to send, or are no numbers, are refused by name', async () => {
  const tokenizer = await loadLocalTokenizer(fixture('qwen-style-bpe'));
  const sample = (options: Parameters<typeof sampleRandomDataset>[1]) =>
    sampleRandomDataset(tokenizer, options, { signal });
  await expect(sample({ numPrompts: 0 })).rejects.toThrow('numPrompts must be a whole number of at least 1, not "0"');
  await expect(sample({ numPrompts: 1, randomInputLen: 0 })).rejects.toThrow('leave no token to send');
  await expect(sample({ numPrompts: 1, randomRangeRatio: 1 })).rejects.toThrow('randomRangeRatio');
  await expect(sample({ numPrompts: 1, randomOutputLen: -1 })).rejects.toThrow('randomOutputLen');
});

test('an abort ends the making of prompts', async () => {
  const tokenizer = await loadLocalTokenizer(fixture('qwen-style-bpe'));
  await expect(
    sampleRandomDataset(tokenizer, { numPrompts: 5 }, { signal: AbortSignal.abort(new Error('enough')) }),
  ).rejects.toThrow('enough');
});

describe('tokenizer files', () => {
  let home = '';
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'lmcache-ci-tokenizer-'));
  });
  afterEach(() => rm(home, { recursive: true }));

  async function cache(revision: string): Promise<string> {
    const directory = join(home, 'hub', 'models--owner--name', 'snapshots', revision);
    await mkdir(directory, { recursive: true });
    await cp(fixture('qwen-style-bpe'), directory, { recursive: true });
    return directory;
  }

  test('are found in the Hugging Face cache, the revision of refs/main first', async () => {
    expect(await findLocalTokenizer('owner/name', home)).toBeNull();
    const first = await cache('aaa');
    expect(await findLocalTokenizer('owner/name', home)).toBe(first);
    const main = await cache('bbb');
    await mkdir(join(home, 'hub', 'models--owner--name', 'refs'));
    await writeFile(join(home, 'hub', 'models--owner--name', 'refs', 'main'), 'bbb\n');
    expect(await findLocalTokenizer('owner/name', home)).toBe(main);
    expect(await findLocalTokenizer(first, home)).toBe(first);
  });

  test('give a plan without any server; with neither there is none', async () => {
    const options = {
      backend: 'openai',
      numPrompts: 2,
      randomInputLen: 32,
      numWarmups: 3,
      hfHome: home,
      signal,
    } as const;
    expect(await prepareBenchServe({ model: 'owner/name' }, options)).toBeNull();
    await cache('aaa');
    const plan = await prepareBenchServe({ model: 'owner/name' }, options);
    expect(plan?.prompts).toHaveLength(2);
    expect(plan?.warmupPrompts).toHaveLength(3);
    expect(sharesPrompt(plan?.prompts ?? [], plan?.warmupPrompts ?? [])).toBe(false);
    expect(sharesPrompt(plan?.prompts ?? [], plan?.prompts ?? [])).toBe(true);
  });

  test('that are broken are named', async () => {
    const directory = await cache('aaa');
    await writeFile(join(directory, 'tokenizer.json'), '{"model": 3}');
    await expect(loadLocalTokenizer(directory)).rejects.toThrow('tokenizer.json" is no tokenizer file');
    await writeFile(join(directory, 'tokenizer.json'), '{"model": {"vocab": {}}, "added_tokens": [{"id": "a"}]}');
    await expect(loadLocalTokenizer(directory)).rejects.toThrow('"added_tokens"');
    await writeFile(join(directory, 'tokenizer.json'), 'x');
    await expect(loadLocalTokenizer(directory)).rejects.toThrow('is no JSON');
  });

  test('tell the base vocabulary, the special tokens in it, and what is put around a prompt', async () => {
    const facts = async (name: string) => {
      const tokenizer = await loadLocalTokenizer(fixture(name));
      return [tokenizer.vocabSize, [...tokenizer.specialIds].sort((a, b) => a - b), tokenizer.addedTokens];
    };
    expect(await facts('byte-level-bpe')).toEqual([1500, [0], 0]);
    expect(await facts('qwen-style-bpe')).toEqual([1200, [1200, 1201, 1202], 0]);
    expect(await facts('unigram-with-bos')).toEqual([800, [0, 1, 2], 1]);
  });
});
