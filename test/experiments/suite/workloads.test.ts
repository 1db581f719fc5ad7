import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { experiment } from '../../../experiments/suite/build.js';
import type { GeneratorInput, Request, UseCase } from '../../../experiments/suite/terms.js';
import { DummyText } from '../../../experiments/suite/workloads/dummy-text.js';
import { timestamps } from '../../../experiments/suite/workloads/schedule.js';
import { generatorOf } from '../../../experiments/suite/workloads/use-cases.js';

function requestsOf(
  useCase: UseCase,
  options: { readonly queries: number; readonly contextLength: number; readonly pool?: number },
  input: Partial<GeneratorInput> = {},
): readonly Request[] {
  const { workload } = experiment({ useCase, ...options });
  const Generator = generatorOf(useCase);
  const given = { configuration: workload, seed: 1, maxModelLength: 32_768, tokensPerWord: 1, ...input };
  return new Generator(given).generate().requests;
}

const wordsOf = (text: string) => (text === '' ? 0 : text.split(' ').length);
const useCases = ['DUMMY', 'VARY', 'MULTI', 'PREFIX_REUSE', 'RAG'] as const;

describe('timestamps', () => {
  it('are i / qps + offset, duration * qps of them', () => {
    expect(timestamps({ qps: 2, duration: 2, contextLength: 1, queryLength: 1, offset: 0.25 })).toEqual([
      0.25, 0.75, 1.25, 1.75,
    ]);
  });

  it('lose no request to rounding', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 60 }), (queries, gap) => {
        const { workload } = experiment({ queries, gap, contextLength: 1 });
        expect(timestamps(workload)).toHaveLength(queries);
      }),
    );
  });
});

describe('dummy text', () => {
  it('is the same for the same seed, another for another, and a shorter one begins a longer one', () => {
    const short = new DummyText(7, 1).ofLength(50);
    expect(new DummyText(7, 1).ofLength(80).startsWith(`${short} `)).toBe(true);
    expect(new DummyText(8, 1).ofLength(50)).not.toBe(short);
  });

  it('has fewer words where a word has more tokens', () => {
    expect(wordsOf(new DummyText(7, 1.25).ofLength(1000))).toBe(800);
  });
});

describe('every use case', () => {
  it.each(useCases)('%s gives the same workload for the same seed, with no question asked twice', (useCase) => {
    const requests = requestsOf(useCase, { queries: 12, contextLength: 300 });
    expect(requests).toEqual(requestsOf(useCase, { queries: 12, contextLength: 300 }));
    expect(requests).not.toEqual(requestsOf(useCase, { queries: 12, contextLength: 300 }, { seed: 2 }));
    expect(new Set(requests.map(({ question }) => question)).size).toBe(12);
    for (const { question, queryLength } of requests) expect(wordsOf(question)).toBe(queryLength - 4);
  });

  it.each(useCases)('%s stays within what the model takes', (useCase) => {
    for (const request of requestsOf(useCase, { queries: 9, contextLength: 5000 }, { maxModelLength: 4096 })) {
      if (request.conversation === undefined) {
        expect(wordsOf(request.context) + request.queryLength + request.maxTokens).toBeLessThanOrEqual(4096);
      }
    }
  });
});

describe('one use case', () => {
  it('DUMMY: always the same context', () => {
    const requests = requestsOf('DUMMY', { queries: 5, contextLength: 300 });
    expect(new Set(requests.map(({ context }) => context)).size).toBe(1);
    expect(wordsOf(requests[0]?.context ?? '')).toBe(300);
    expect(requests.map(({ timestamp }) => timestamp)).toEqual([0, 8, 16, 24, 32]);
    expect(requests[0]?.maxTokens).toBe(200);
  });

  it('VARY: a, 2a, 2a, 3a, 3a, each the beginning of the next', () => {
    const contexts = requestsOf('VARY', { queries: 5, contextLength: 100 }).map(({ context }) => context);
    expect(contexts.map(wordsOf)).toEqual([100, 200, 200, 300, 300]);
    for (const [index, context] of contexts.slice(1).entries()) {
      expect(context.startsWith(contexts[index] ?? '?')).toBe(true);
    }
  });

  it('MULTI: one conversation; only the first turn brings a context', () => {
    const requests = requestsOf('MULTI', { queries: 3, contextLength: 16 });
    expect(new Set(requests.map(({ conversation }) => conversation)).size).toBe(1);
    expect(requests.map(({ context }) => wordsOf(context))).toEqual([16, 0, 0]);
    expect(requests.map(({ maxTokens }) => maxTokens)).toEqual([2000, 2000, 2000]);
  });

  it('PREFIX_REUSE: each context once, then again and again', () => {
    const contexts = requestsOf('PREFIX_REUSE', { queries: 40, contextLength: 100, pool: 3 }).map((one) => one.context);
    expect(new Set(contexts.slice(0, 3)).size).toBe(3);
    expect(new Set(contexts).size).toBe(3);
  });

  it('RAG: three documents of the pool, popular ones more often in front', () => {
    const requests = requestsOf('RAG', { queries: 200, contextLength: 300, pool: 5 });
    const documents = requests.map(({ context }) => context.split('\n\n'));
    for (const parts of documents) {
      expect(parts).toHaveLength(3);
      expect(new Set(parts).size).toBe(3);
    }
    const counts = new Map<string, number>();
    for (const [first = ''] of documents) counts.set(first, (counts.get(first) ?? 0) + 1);
    expect(counts.size).toBe(5);
    const ordered = [...counts.values()].sort((a, b) => b - a);
    expect(ordered[0]).toBeGreaterThan(2 * (ordered[4] ?? 0));
  });

  it('one of your own is a class; an unknown name is refused', () => {
    class Own {
      generate() {
        return { requests: [] };
      }
    }
    expect(new (generatorOf(Own))({} as GeneratorInput).generate()).toEqual({ requests: [] });
    expect(() => generatorOf('CHAT' as UseCase)).toThrow('"CHAT": choose DUMMY, VARY, MULTI, PREFIX_REUSE, RAG');
  });
});
