import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createBuiltInTokenizer } from '../../simulator/tokenizer/built-in-tokenizer.js';
import { loadTokenizer } from '../../simulator/tokenizer/load-tokenizer.js';

const QWEN3_VOCABULARY = 151_936;
const tokenizer = createBuiltInTokenizer(QWEN3_VOCABULARY);

function document(index: number): string {
  return `${index} ${new Array(10_000).fill('hi').join(' ')}`;
}

describe('the built-in tokenizer', () => {
  it.each([
    [0, 10_009],
    [9, 10_009],
    [29, 10_010],
  ])('counts document %i of 10,000 words in a chat as recorded: %i tokens', (index, tokens) => {
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: document(index) }])).toHaveLength(tokens);
  });

  it('gives back any Unicode text it has encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    'Tabs\tand\r\nline ends\n\n  and   spaces ',
    'naïve café 東京 \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \ufeffBOM',
    '<|im_start|>user\nhi<|im_end|> <| not special |> <think>so</think>',
    "It's 12,345.67 'quoted' (twice)",
    '',
  ])('gives back %j', (text) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it.each([20_000, 60_000, 140_000])('gives back runs of token ids from %i on, as bench prompts use them', (first) => {
    const ids = Array.from({ length: 2000 }, (_, index) => first + index);
    expect(tokenizer.encode(tokenizer.decode(ids))).toEqual(ids);
  });

  it('keeps the number of tokens of random ids within 3 %, as a real one about does', () => {
    let state = 1;
    const ids = Array.from({ length: 5000 }, () => {
      state = (state * 48271) % 2147483647;
      return 256 + (state % 151_387);
    });
    const again = tokenizer.encode(tokenizer.decode(ids)).length;
    expect(Math.abs(again / ids.length - 1)).toBeLessThan(0.03);
  });

  it('never gives an id outside its vocabulary, and shows every id as text', () => {
    for (const id of tokenizer.encode(document(3))) expect(id).toBeLessThan(QWEN3_VOCABULARY);
    expect(tokenizer.tokenText(QWEN3_VOCABULARY - 1)).toBe('');
    expect(tokenizer.decode([151_644])).toBe('<|im_start|>');
    expect(tokenizer.decode([151_644], { skipSpecialTokens: true })).toBe('');
  });

  it('shows tokens as /tokenize does', () => {
    const ids = tokenizer.applyChatTemplate([{ role: 'user', content: 'hi hi' }]);
    expect(ids.map((id) => tokenizer.tokenString(id))).toEqual([
      '<|im_start|>',
      'user',
      'Ċ',
      'hi',
      'Ġhi',
      '<|im_end|>',
      'Ċ',
      '<|im_start|>',
      'assistant',
      'Ċ',
    ]);
  });

  it('refuses a vocabulary too small for its entries', () => {
    expect(() => createBuiltInTokenizer(1000)).toThrow(/at least 16384, got "1000"/);
  });
});

describe('loading a tokenizer', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'tokenizer-'));
  });
  afterEach(() => {
    rmSync(home, { recursive: true, force: true });
  });

  /** A byte-level BPE of six entries, in the layout of a Hugging Face repository. */
  function writeFiles(directory: string): void {
    mkdirSync(directory, { recursive: true });
    const vocab = { h: 0, i: 1, hi: 2, Ġ: 3, Ġhi: 4, Ċ: 5 };
    const tokenizerJson = {
      version: '1.0',
      added_tokens: [
        { id: 6, content: '<eos>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
      ],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: { type: 'BPE', vocab, merges: ['h i', 'Ġ hi'], fuse_unk: false, byte_fallback: false },
    };
    const config = {
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: '<eos>',
      chat_template: '{% for message in messages %}{{ message.content }}\n{% endfor %}',
    };
    writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify(tokenizerJson));
    writeFileSync(join(directory, 'tokenizer_config.json'), JSON.stringify(config));
  }

  const source = { model: 'Qwen/Qwen3-14B', vocabularySize: QWEN3_VOCABULARY };

  it('takes the folder it is told, and its chat template', () => {
    writeFiles(home);
    const loaded = loadTokenizer({ ...source, tokenizerDir: home, hfHome: null });
    expect(loaded.builtIn).toBe(false);
    expect(loaded.encode('hi hi')).toEqual([2, 4]);
    expect(loaded.decode([2, 4, 6], { skipSpecialTokens: true })).toBe('hi hi');
    expect(loaded.applyChatTemplate([{ role: 'user', content: 'hi' }])).toEqual([2, 5]);
    expect(loaded.tokenText(4)).toBe(' hi');
    expect(loaded.eosTokenId).toBe(6);
  });

  it('finds the model in the Hugging Face cache, by its main revision', () => {
    const repository = join(home, 'hub', 'models--Qwen--Qwen3-14B');
    writeFiles(join(repository, 'snapshots', 'abc'));
    mkdirSync(join(repository, 'refs'), { recursive: true });
    writeFileSync(join(repository, 'refs', 'main'), 'abc');
    const loaded = loadTokenizer({ ...source, tokenizerDir: null, hfHome: home });
    expect(loaded.builtIn).toBe(false);
    expect(loaded.label).toContain('abc');
  });

  it('falls back to the built-in one, labelled', () => {
    const loaded = loadTokenizer({ ...source, tokenizerDir: null, hfHome: home });
    expect(loaded.builtIn).toBe(true);
    expect(loaded.label).toContain('built-in');
    expect(loaded.vocabSize).toBe(QWEN3_VOCABULARY);
  });

  it('names the file that is no tokenizer', () => {
    writeFileSync(join(home, 'tokenizer_config.json'), '{}');
    writeFileSync(join(home, 'tokenizer.json'), 'not json');
    const load = () => loadTokenizer({ ...source, tokenizerDir: home, hfHome: null });
    expect(load).toThrow(/tokenizer\.json/);
  });
});
