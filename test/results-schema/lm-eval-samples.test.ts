import { describe, expect, it } from 'vitest';
import {
  compareAnswers,
  compareSamples,
  formatDifference,
  parseSamples,
  type SampleSet,
} from '../../results-schema/lm-eval-samples.js';

interface Line {
  readonly id: number;
  readonly filter?: string;
  readonly answer?: string;
  readonly target?: string;
}

function line({ id, filter = 'strict-match', answer = `answer ${id}`, target = '7' }: Line): string {
  return JSON.stringify({
    doc_id: id,
    doc: { question: `q${id}`, answer: target },
    target,
    arguments: { gen_args_0: { arg_0: `prompt ${id}\nAnswer:`, arg_1: { temperature: 0 } } },
    resps: [[answer]],
    filtered_resps: [answer],
    filter,
    metrics: ['exact_match'],
    doc_hash: 'd',
    prompt_hash: 'p',
    target_hash: 't',
    exact_match: 0,
  });
}

function samples(...lines: readonly Line[]): SampleSet {
  return parseSamples(`${lines.map(line).join('\n')}\n`, 'samples.jsonl');
}

describe('parseSamples', () => {
  it('counts documents, not lines', () => {
    expect(samples({ id: 0 }, { id: 0, filter: 'flexible-extract' }, { id: 1 })).toMatchObject({ documents: 2 });
  });

  it('names file and line of what is no sample', () => {
    expect(() => parseSamples(`${line({ id: 0 })}\n{"doc_id": 1}\n`, 'a.jsonl')).toThrow(/Line 2 of "a\.jsonl"/);
    expect(() => parseSamples('{', 'a.jsonl')).toThrow(/Line 1 of "a\.jsonl"/);
  });
});

describe('compareSamples', () => {
  it('does not mind the order of the lines', () => {
    expect(compareSamples(samples({ id: 0 }, { id: 1 }), samples({ id: 1 }, { id: 0 }))).toEqual([]);
  });

  it('finds a changed answer once, although each filter has a line', () => {
    const first = samples({ id: 3 }, { id: 3, filter: 'flexible-extract' });
    const second = samples({ id: 3, answer: 'x' }, { id: 3, filter: 'flexible-extract', answer: 'x' });
    expect(compareSamples(first, second)).toEqual([
      { docId: 3, prompt: 'prompt 3\nAnswer:', firstAnswer: 'answer 3', secondAnswer: 'x' },
    ]);
  });

  it('finds any other difference of a line, as a comparison of bytes does', () => {
    expect(compareSamples(samples({ id: 0 }), samples({ id: 0, target: '8' }))).toHaveLength(1);
  });

  it('finds samples that only one run has', () => {
    expect(compareSamples(samples({ id: 0 }), samples({ id: 0 }, { id: 1 }))).toMatchObject([
      { docId: 1, firstAnswer: null, secondAnswer: 'answer 1' },
    ]);
  });
});

describe('compareAnswers', () => {
  it('looks at what the servers answered alone', () => {
    expect(compareAnswers(samples({ id: 0 }), samples({ id: 0, target: '8' }))).toEqual([]);
    expect(compareAnswers(samples({ id: 0 }), samples({ id: 0, answer: 'x' }))).toHaveLength(1);
  });
});

describe('formatDifference', () => {
  it('shows the end of the prompt and both answers side by side, with the rows that differ marked', () => {
    const rows = formatDifference(
      {
        docId: 17,
        prompt: `${'long '.repeat(100)}How many?`,
        firstAnswer: 'It is\n12.',
        secondAnswer: 'It is\n13.',
      },
      { first: 'first run', second: 'second run' },
    );
    expect(rows[0]).toMatch(/^sample 17, prompt: "\.\.\. long .*How many\?"$/);
    expect(rows[1]).toMatch(/^ {2}first run +\| second run$/);
    expect(rows[2]).toMatch(/^ {2}It is +\| It is$/);
    expect(rows[3]).toMatch(/^ {2}12\. +≠ 13\.$/);
  });
});
