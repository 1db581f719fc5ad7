import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { builtInRegistry } from '../../../experiments/sweep/built-in-registry.js';
import { loadSweepFile, parseSweep } from '../../../experiments/sweep/load-sweep.js';
import { SourceError } from '../../../experiments/sweep/source-problem.js';

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sweep-yaml-'));
  writeFileSync(join(directory, 'trace.csv'), 'x\n');
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const options = () => ({ registry: builtInRegistry(), formats: ['conversation-csv'], workingDirectory: directory });
const parse = (text: string) => parseSweep('sweep.yaml', text, options());

/** The lines of the error; fails where there is none. */
function errorsOf(text: string): string[] {
  try {
    parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SourceError);
    return String((error as Error).message).split('\n');
  }
  throw new Error(`no error in:\n${text}`);
}

const sound = `
model_name: "qwen-8b"
tag: "qwen8b"
log_base_dir: "logs"
defaults:
    num_prompts: 500
    use_conversation_evictions: [false, true]
experiments:
    datasets:
      - path: "trace.csv"
        cache_sizes: [64, 128, 256]
        request_rates: [1.0]
      - path: "./trace.csv"
        cache_sizes: [64]
        request_rates: [0.7, 2]
        time_limit: 60
        mock_decoding: true
        use_conversation_evictions: [true]
        conversation_eviction_config: {threshold: 3}
`;

describe('a sound file', () => {
  it('is read with its defaults, and those of the original where it says nothing', () => {
    const [definition] = parse(sound);
    expect(definition).toMatchObject({ document: 1, tag: 'qwen8b', logBaseDir: 'logs', modelName: 'qwen-8b' });
    expect(definition?.datasets).toEqual([
      {
        path: 'trace.csv',
        file: join(directory, 'trace.csv'),
        place: expect.objectContaining({ line: expect.any(Number), column: 15 }),
        format: null,
        cacheSizesGb: [64, 128, 256],
        requestRates: [1],
        conversationEvictions: [false, true],
        conversationEvictionConfig: null,
        numPrompts: 500,
        timeLimitSeconds: 1200,
        mockDecoding: false,
      },
      {
        path: './trace.csv',
        file: join(directory, 'trace.csv'),
        place: expect.objectContaining({ line: expect.any(Number), column: 15 }),
        format: null,
        cacheSizesGb: [64],
        requestRates: [0.7, 2],
        conversationEvictions: [true],
        conversationEvictionConfig: { threshold: 3 },
        numPrompts: 500,
        timeLimitSeconds: 60,
        mockDecoding: true,
      },
    ]);
  });

  it('takes its model, tag and directory from the original where it names none', () => {
    const [definition] = parse('experiments: {datasets: [{path: trace.csv}]}');
    expect(definition).toMatchObject({ modelName: 'llama-8b', tag: 'experiment', logBaseDir: 'logs' });
    expect(definition?.datasets[0]).toMatchObject({ cacheSizesGb: [64], requestRates: [1], numPrompts: 30_000 });
  });

  it('may list several experiments with defaults of their own, hold several documents, anchors and merge keys', () => {
    const definitions = parse(`
tag: a
defaults: {time_limit: 10}
experiments:
  - defaults: {num_prompts: 7}
    datasets: [&base {path: trace.csv, use_conversation_evictions: yes}]
  - datasets: [{<<: *base, cache_sizes: 8}]
---
tag: 12
experiments: {datasets: [{path: trace.csv}]}
---
`);
    expect(definitions.map(({ tag, document }) => [tag, document])).toEqual([
      ['a', 1],
      ['12', 2],
    ]);
    const { datasets = [] } = definitions[0] ?? {};
    expect(datasets.map(({ numPrompts, timeLimitSeconds }) => [numPrompts, timeLimitSeconds])).toEqual([
      [7, 10],
      [30_000, 10],
    ]);
    expect(datasets[1]).toMatchObject({ cacheSizesGb: [8], conversationEvictions: [true] });
  });

  it('finds a data set beside the file before one in the working directory', () => {
    const file = join(directory, 'sweep.yaml');
    writeFileSync(file, 'experiments: {datasets: [{path: trace.csv}]}');
    const elsewhere = { ...options(), workingDirectory: tmpdir() };
    expect(loadSweepFile(file, elsewhere)[0]?.datasets[0]?.file).toBe(join(directory, 'trace.csv'));
  });
});

describe('a broken file', () => {
  it('is told with line, column, value and what is allowed, everything at once', () => {
    const errors = errorsOf(`model_name: qwen-8
tag: a/b
chache_sizes: [1]
defaults:
  num_prompts: -5
experiments:
  datasets:
    - path: missing.csv
      cache_sizes: [64, "128", 64]
      request_rates: []
      mock_decoding: maybe
`);
    expect(errors).toEqual([
      expect.stringMatching(/^sweep\.yaml:1:13: model_name: model "qwen-8" is unknown/),
      expect.stringMatching(/^sweep\.yaml:2:6: tag is "a\/b"; allowed: a text without "\/"/),
      expect.stringMatching(/^sweep\.yaml:3:1: the key "chache_sizes" is unknown; did you mean "cache_sizes"\?$/),
      expect.stringMatching(/^sweep\.yaml:5:16: defaults\.num_prompts is "-5"; allowed: a whole number of prompts/),
      expect.stringMatching(/^sweep\.yaml:9:25: experiments\.datasets\[0\]\.cache_sizes\[1\] is "128"; allowed: .* GB/),
      expect.stringMatching(/^sweep\.yaml:10:22: experiments\.datasets\[0\]\.request_rates is "\[\]"; allowed:/),
      expect.stringMatching(/^sweep\.yaml:11:22: experiments\.datasets\[0\]\.mock_decoding is "maybe"; allowed: true/),
    ]);
  });

  it('says where a key belongs that stands in the wrong place', () => {
    const errors = errorsOf(`request_rates: [1]
experiments:
  num_prompts: 5
  datasets:
    - path: trace.csv
      tag: x
`);
    const wrong = (key: string, allowed: string) =>
      expect.stringMatching(new RegExp(`the key "${key}".* is in the wrong place; allowed: ${allowed}`));
    expect(errors).toEqual([
      wrong('request_rates', 'under defaults, or with a data set'),
      wrong('num_prompts', 'under defaults, or with a data set'),
      wrong('tag', 'at the top of the document'),
    ]);
  });

  it('names near models, both places of a data set, values that stand twice and formats nobody reads', () => {
    const errors = errorsOf(`model_name: qwen-8
experiments:
  datasets:
    - path: missing.csv
      format: parquet
    - path: trace.csv
      cache_sizes: [64, 64]
`);
    expect(errors).toEqual([
      expect.stringMatching(/^sweep\.yaml:1:13: model_name: model "qwen-8" is unknown/),
      expect.stringMatching(/^sweep\.yaml:7:25: .*\[1\] is "64"; allowed: each value once/),
    ]);
    const semantic = errorsOf(`model_name: qwen-8
experiments: {datasets: [{path: missing.csv, format: parquet}]}
`).join('\n');
    expect(semantic).toMatch(
      /^sweep\.yaml:1:13: model_name: model "qwen-8" is unknown; near: qwen-8b.*; known: qwen-0.5b/m,
    );
    expect(semantic).toMatch(
      /^sweep\.yaml:2:33: path is "missing\.csv", and there is no such file; tried: ".*missing/m,
    );
    expect(semantic).toMatch(/^sweep\.yaml:2:54: format is "parquet"; allowed: conversation-csv$/m);
  });

  it.each([
    [
      'duplicate keys',
      'tag: a\ntag: b\nexperiments: {datasets: [{path: trace.csv}]}',
      /:2:1: the key "tag" stands here/,
    ],
    ['no YAML', 'experiments: {datasets: [', /^sweep\.yaml:\d+:\d+: /],
    ['an empty file', '', /^sweep\.yaml:1:1: the document is "null"|^sweep\.yaml:1:1: the file holds no document/],
    ['a list', '- 1', /:1:1: the document is "a list of 1"/],
    ['an unknown tag', 'experiments: !!python/object/apply:os.system [ls]', /:1:14: Unresolved tag/],
    ['an unknown alias', 'experiments: *nobody', /:1:14: Unresolved alias/],
    ['a key that is a list', '? [a]\n: 1', /:1:3: a key that is no text/],
    ['itself', 'experiments: &x {datasets: *x}', /:1:\d+: /],
    [
      'a number that is none',
      'experiments: {datasets: [{path: trace.csv, cache_sizes: [.inf]}]}',
      /:1:58: .*"Infinity"/,
    ],
    ['too large a grid', grid(200), /:1:14: they are 40000 experiments; allowed: at most 10000/],
    ['keys by the thousand', keys(5_000), /:1:1: the key "k0" is unknown/],
    ['depth without end', `experiments: ${'['.repeat(20_000)}`, /^sweep\.yaml:1:\d+: /],
    ['a billion laughs', laughs(), /:\d+:\d+: aliases that stand for too much; allowed: at most 100 uses/],
  ])('%s', (_, text, expected) => {
    expect(errorsOf(text).join('\n')).toMatch(expected);
  });

  it('is not even read when it is larger than any sweep', () => {
    const file = join(directory, 'large.yaml');
    writeFileSync(file, Buffer.alloc(10 * 1024 ** 2, '# sweep\n'));
    expect(() => loadSweepFile(file, options())).toThrow(
      /large\.yaml:1:1: the file has 10240 KiB; allowed: at most 256 KiB/,
    );
    expect(() => loadSweepFile(directory, options())).toThrow(/:1:1: ".*" is no file/);
    expect(() => loadSweepFile(join(directory, 'none.yaml'), options())).toThrow(/:1:1: the file does not exist/);
  });
});

const odd = fc.oneof(
  fc.constantFrom(null, true, '', 'x', -1, 0, 0.5, 1e9, Number.NaN, Number.POSITIVE_INFINITY, [], {}, [null], '../..'),
  fc.string(),
  fc.array(fc.oneof(fc.integer(), fc.string(), fc.boolean()), { maxLength: 3 }),
  fc.dictionary(fc.string(), fc.integer(), { maxKeys: 3 }),
);
const parameterNames = ['cache_sizes', 'request_rates', 'num_prompts', 'time_limit', 'mock_decoding', 'format'];
const breakable = ['model_name', 'tag', 'defaults', 'experiments', 'datasets', 'path', 'nonsense', ...parameterNames];

describe('any file', () => {
  it('is read, or refused with located errors and nothing else', () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...breakable), odd), { minLength: 1, maxLength: 3 }), (changes) => {
        const dataset: Record<string, unknown> = { path: 'trace.csv' };
        const inner: Record<string, unknown> = { datasets: [dataset] };
        const file: Record<string, unknown> = { model_name: 'qwen-8b', experiments: inner };
        for (const [name, value] of changes) {
          const holder =
            name === 'datasets' ? inner : parameterNames.includes(name) || name === 'path' ? dataset : file;
          holder[name] = value;
        }
        refused += isRefused(stringify(file)) ? 1 : 0;
      }),
      { numRuns: 300 },
    );
    // Not every change breaks a file, but most do.
    expect(refused).toBeGreaterThan(100);
  });

  it('of arbitrary text too', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        'experiments:',
        '\n',
        '  ',
        '- ',
        '{',
        '}',
        '[',
        ']',
        '&a',
        '*a',
        '<<: ',
        '---\n',
        '"',
        '|\n',
        ': ',
      ),
      fc.constantFrom('datasets', 'path: trace.csv', 'tag: x', '!!str', '\t', '%YAML 9\n', '? ', '\u0000'),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        isRefused(pieces.join(''));
      }),
      { numRuns: 150 },
    );
  });
});

function isRefused(text: string): boolean {
  try {
    parse(text);
    return false;
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    const lines = text.split(/\n/).length;
    expect(error.problems.length).toBeGreaterThan(0);
    for (const { line, column } of error.problems) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines + 1);
      expect(column).toBeGreaterThanOrEqual(1);
    }
    expect(error.message).toMatch(/^sweep\.yaml:\d+:\d+: \S/);
    return true;
  }
}

function grid(values: number): string {
  const list = Array.from({ length: values }, (_, index) => index + 1).join(',');
  return `experiments: {datasets: [{path: trace.csv, cache_sizes: [${list}], request_rates: [${list}]}]}`;
}

function keys(count: number): string {
  return Array.from({ length: count }, (_, index) => `k${index}: 1`).join('\n');
}

function laughs(): string {
  const lines = ['a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]'];
  for (let level = 1; level < 10; level++) lines.push(`a${level}: &a${level} [${`*a${level - 1}, `.repeat(9)}]`);
  return [...lines, 'experiments: *a9'].join('\n');
}
