import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteLevelBpe } from '../../workloads/bench/byte-level/byte-level-bpe.js';
import { type ByteLevelFile, readByteLevelFile } from '../../workloads/bench/byte-level/byte-level-file.js';
import { RunMemo } from '../../workloads/bench/byte-level/run-memo.js';
import { hasSeams } from '../../workloads/bench/byte-level/seams.js';
import type { JsonObject } from '../../workloads/json-value.js';
import recorded from '../fixtures/workloads/byte-level-bpe.json' with { type: 'json' };

const readTokenizer = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(
    await readFile(new URL(`../fixtures/workloads/tokenizers/${name}/tokenizer.json`, import.meta.url), 'utf8'),
  );

const qwenStyle = await readTokenizer('qwen-style-bpe');

function read(tokenizer: JsonObject, config: JsonObject = {}): ByteLevelFile | null {
  const { model } = tokenizer as { model: { vocab: Record<string, number> } };
  return readByteLevelFile(tokenizer, config, model.vocab, Object.entries(model.vocab));
}

function open(tokenizer: JsonObject, config: JsonObject = {}): ByteLevelBpe {
  const file = read(tokenizer, config);
  const engine = file === null ? null : ByteLevelBpe.from(file);
  if (engine === null) {
    throw new Error('not a byte-level BPE');
  }
  return engine;
}

function reencoded(engine: ByteLevelBpe, ids: readonly number[]): number[] {
  const copy = [...ids];
  expect(engine.reencode(copy, 0)).toEqual({ kept: 0, replaced: ids });
  return copy;
}

describe.each(recorded.cases)('the split of $name', ({ normalizer, pre_tokenizer, ignoreMerges, runs, texts }) => {
  const model = { ...(qwenStyle['model'] as object), ignore_merges: ignoreMerges };
  const tokenizer = { ...qwenStyle, normalizer, pre_tokenizer, model, added_tokens: recorded.addedTokens };

  test('has seams, and runs of ids become the texts and ids that the original gives', () => {
    const file = read(tokenizer, {});
    expect(hasSeams(file?.splits ?? [], [])).toBe(true);
    const engine = open(tokenizer);
    for (const { ids, text, encoded } of runs) {
      expect(engine.decode(ids)).toBe(text);
      expect(engine.encode(text)).toEqual(encoded);
      expect(reencoded(engine, ids)).toEqual(encoded);
      // Now from memory.
      expect(reencoded(engine, ids)).toEqual(encoded);
    }
  });

  test('texts with added tokens, marks, odd spaces become the ids that the original gives', () => {
    const engine = open(tokenizer);
    for (const { text, encoded } of texts) {
      expect(engine.encode(text)).toEqual(encoded);
    }
  });

  test('a text may be cut at every seam', () => {
    const engine = open(tokenizer);
    const part = fc.string({ unit: 'binary', maxLength: 12 });
    const spaces = fc.stringMatching(/^[ \n\r\t'/1aB,]{0,6}$/);
    const side = fc.oneof(part, spaces, fc.constantFrom('word', "'ll", 'é', '你好', '\u0301', 'HELLOworld'));
    fc.assert(
      fc.property(side, side, side, side, (before, left, right, after) => {
        const first = `${before}${left}a`;
        const second = ` b${right}${after}`;
        expect(engine.encode(first + second)).toEqual([...engine.encode(first), ...engine.encode(second)]);
      }),
      { numRuns: 300 },
    );
  });
});

describe.each(['qwen-style-bpe', 'byte-level-bpe'])('like @huggingface/tokenizers: %s', async (name) => {
  const files = await readTokenizer(name);
  const library = new Tokenizer(files, {});
  const engine = open(files);
  const vocabulary = 1200;
  const encodeByLibrary = (text: string): number[] =>
    text === '' ? [] : library.encode(text, { add_special_tokens: false }).ids;
  const decodeByLibrary = (ids: number[]): string =>
    library.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });

  test('any text', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('<|endoftext|>', ' the', 'e\u0301', '\n \n', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa'),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        // The library takes U+FEFF for a space, unlike the original.
        const text = pieces.join('').replaceAll(/[\ufeff\u0085]/g, ' ');
        expect(engine.encode(text)).toEqual(encodeByLibrary(text));
      }),
      { numRuns: 500 },
    );
  });

  test('any ids, single or in runs', () => {
    const id = fc.integer({ min: 0, max: vocabulary - 1 });
    const run = fc
      .tuple(id, fc.integer({ min: 1, max: 40 }))
      .map(([first, count]) => Array.from({ length: count }, (_, step) => (first + step) % vocabulary));
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            id.map((one) => [one]),
            run,
          ),
          { minLength: 1, maxLength: 12 },
        ),
        (runs) => {
          const ids = runs.flat();
          const text = decodeByLibrary(ids);
          expect(engine.decode(ids)).toBe(text);
          expect(reencoded(engine, ids)).toEqual(engine.encode(text));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('behind stable ids only what can change is done again', () => {
    const ids = fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), { maxLength: 12 });
    const words = fc.constantFrom('he said to them ', ' at the end', 'x', 'the man of');
    fc.assert(
      fc.property(words, ids, words, ids, (first, middle, second, padding) => {
        const stable = engine.encode(first + engine.decode(middle) + second);
        const before = [...stable, ...padding];
        const after = [...before];
        const { kept, replaced } = engine.reencode(after, stable.length);
        expect(after).toEqual(engine.encode(engine.decode(before)));
        expect([...before.slice(0, kept), ...replaced]).toEqual(before);
        expect(after.slice(0, kept)).toEqual(before.slice(0, kept));
      }),
      { numRuns: 500 },
    );
    const sentence = engine.encode('he said to them all');
    expect(engine.reencode([...sentence, 5], sentence.length).kept).toBeGreaterThan(0);
  });

  test('one piece of a hundred thousand letters', () => {
    const text = 'ab'.repeat(50_000);
    expect(engine.decode(engine.encode(text))).toBe(text);
  });
});

describe('is left to the library', () => {
  const without = (change: JsonObject): JsonObject => ({ ...qwenStyle, ...change });
  const model = qwenStyle['model'] as Record<string, unknown>;
  test.each([
    ['another model', { model: { ...model, type: 'WordPiece' } }],
    ['byte fallback', { model: { ...model, byte_fallback: true } }],
    ['another normalizer', { normalizer: { type: 'NFKC' } }],
    ['another decoder', { decoder: { type: 'Metaspace' } }],
    ['a space in front', { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true } }],
    ['another way to split', { pre_tokenizer: { type: 'Whitespace' } }],
    ['merges that are none', { model: { ...model, merges: ['a b c'] } }],
    [
      'text that is cut up behind the bytes',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'ByteLevel' }, { type: 'Digits' }] } },
    ],
    [
      'an unknown step',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits' }, { type: 'ByteLevel' }] } },
    ],
    ['an added token that takes the spaces beside it', { added_tokens: [{ id: 1200, content: '<x>', lstrip: true }] }],
  ])('%s', (_, change) => {
    expect(read(without(change), {})).toBeNull();
  });

  test('a vocabulary that lacks a byte, or what a merge makes', () => {
    const vocab = { ...(model['vocab'] as Record<string, number>) };
    delete vocab['a'];
    const file = read(without({ model: { ...model, vocab, merges: [] } }), {});
    expect(file && ByteLevelBpe.from(file)).toBeNull();
    const merges = [['a', 'nothing']];
    const other = read(without({ model: { ...model, merges } }), {});
    expect(other && ByteLevelBpe.from(other)).toBeNull();
  });

  test('a pattern that nobody looked at is used, but without seams', () => {
    expect(hasSeams([{ regex: '[a-z ]+' }], [])).toBe(false);
    expect(hasSeams(['gpt-2'], ['a b'])).toBe(false);
    expect(hasSeams([], [])).toBe(false);
    const split = { type: 'Split', pattern: { Regex: '[a-z ]+' }, behavior: 'Isolated', invert: false };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
    const tokenizer = without({ pre_tokenizer: { type: 'Sequence', pretokenizers: [split, bytes] } });
    const library = new Tokenizer(tokenizer as object, {});
    const text = 'to be OR not 2 be';
    expect(open(tokenizer).encode(text)).toEqual(library.encode(text, { add_special_tokens: false }).ids);
    expect(reencoded(open(tokenizer), [3, 400, 5])).toEqual(
      open(tokenizer).encode(open(tokenizer).decode([3, 400, 5])),
    );
  });
});

test('runs of the same hash are told apart, and a full memory begins anew', () => {
  const memo = new RunMemo();
  memo.set(5, [1, 2], [3]);
  memo.set(5, [1, 4], [6]);
  expect(memo.get(5, [0, 1, 2], 1, 3)).toEqual([3]);
  expect(memo.get(5, [1, 4], 0, 2)).toEqual([6]);
  expect(memo.get(5, [1], 0, 1)).toBeNull();
  memo.set(6, new Array(1_000_000).fill(7), [8]);
  expect(memo.get(5, [1, 2], 0, 2)).toBeNull();
});
