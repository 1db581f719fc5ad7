import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ScheduledStep, Scheduler, type SchedulerLimits } from '../../simulator/engine/scheduler.js';
import { Sequence } from '../../simulator/engine/sequence.js';

const LIMITS: SchedulerLimits = {
  maxNumBatchedTokens: 32,
  maxNumSeqs: 4,
  maxModelLen: 64,
  blockTokens: 4,
  blockCount: 21,
  prefixCaching: true,
};

/** The answer depends on the prompt and the position alone. */
const tokenOf = (promptIds: readonly number[], position: number): number =>
  (promptIds.reduce((sum, id) => sum * 31 + id, 7) + position * 13) % 1009;

function sequenceOf(promptIds: readonly number[], maxTokens: number, length = Number.POSITIVE_INFINITY): Sequence {
  return new Sequence(
    {
      promptIds,
      maxTokens,
      minTokens: 0,
      ignoreEos: false,
      eosTokenId: 9999,
      openStream: () => ({ tokenAt: (position) => tokenOf(promptIds, position), length }),
    },
    LIMITS.blockTokens,
  );
}

const prompt = (length: number, seed = 0): number[] => Array.from({ length }, (_, index) => seed * 1000 + index);

/** Blocks in use are exactly those of the sequences, counted once for each that holds them. */
function checkBlocks(scheduler: Scheduler): void {
  const references = new Map<number, number>();
  for (const sequence of [...scheduler.running, ...scheduler.waiting]) {
    expect(new Set(sequence.blocks).size).toBe(sequence.blocks.length);
    for (const block of sequence.blocks) references.set(block, (references.get(block) ?? 0) + 1);
  }
  // One comparison for all blocks: this runs many thousand times.
  const wrong: string[] = [];
  for (let block = 1; block < scheduler.pool.blockCount; block += 1) {
    const [counted, held] = [scheduler.pool.references(block), references.get(block) ?? 0];
    if (counted !== held) wrong.push(`block ${block}: ${counted} references, held by ${held}`);
  }
  expect(wrong).toEqual([]);
}

function checkStep(step: ScheduledStep, limits: SchedulerLimits): void {
  const tokens = step.entries.reduce((sum, { newTokens }) => sum + newTokens, 0);
  expect(tokens).toBe(step.tokens);
  expect(tokens).toBeLessThanOrEqual(limits.maxNumBatchedTokens);
  expect(new Set(step.entries.map(({ sequence }) => sequence)).size).toBe(step.entries.length);
  for (const { sequence, newTokens } of step.entries) {
    expect(newTokens).toBeGreaterThan(0);
    expect(sequence.computedTokens).toBeLessThanOrEqual(sequence.totalTokens);
    expect(sequence.blocks.length).toBeGreaterThanOrEqual(Math.ceil(sequence.computedTokens / limits.blockTokens));
  }
}

describe('Scheduler', () => {
  it('computes a long prompt in chunks of the budget, then decodes', () => {
    const scheduler = new Scheduler(LIMITS, null);
    const sequence = sequenceOf(prompt(50), 2);
    scheduler.add(sequence);
    const shapes: unknown[] = [];
    for (let now = 0; ; now += 1) {
      const step = scheduler.schedule(now);
      if (step === null) break;
      shapes.push(step.shape);
      scheduler.complete(step);
    }
    expect(shapes).toEqual([
      { prefills: [{ newTokens: 32, contextTokens: 0 }], decodes: [] },
      { prefills: [{ newTokens: 18, contextTokens: 32 }], decodes: [] },
      { prefills: [], decodes: [{ contextTokens: 51 }] },
    ]);
    expect(sequence.finished).toBe('length');
    expect(scheduler.pool.usedBlocks).toBe(0);
  });

  it('lets a running sequence decode beside the chunk of another', () => {
    const scheduler = new Scheduler(LIMITS, null);
    scheduler.add(sequenceOf(prompt(8), 5));
    const first = scheduler.schedule(0);
    if (first) scheduler.complete(first);
    scheduler.add(sequenceOf(prompt(40, 1), 5));
    expect(scheduler.schedule(1)?.shape).toEqual({
      prefills: [{ newTokens: 31, contextTokens: 0 }],
      decodes: [{ contextTokens: 9 }],
    });
  });

  it('reads a repeated prompt from the prefix cache, all but its last token', () => {
    const scheduler = new Scheduler(LIMITS, null);
    for (const expected of [0, 28, 28]) {
      const sequence = sequenceOf(prompt(32), 1);
      scheduler.add(sequence);
      const step = scheduler.schedule(0);
      if (step) scheduler.complete(step);
      expect(sequence.localHitTokens).toBe(expected);
    }
    expect(scheduler.counters).toMatchObject({ prefixQueries: 96, prefixHits: 56, externalQueries: 0 });
    expect(scheduler.resetPrefixCache()).toBe(true);
    const after = sequenceOf(prompt(32), 1);
    scheduler.add(after);
    scheduler.schedule(0);
    expect(after.localHitTokens).toBe(0);
  });

  it('ends with stop at the end of the text, and with length at the context limit', () => {
    const scheduler = new Scheduler(LIMITS, null);
    const short = sequenceOf(prompt(4), 10, 2);
    const long = sequenceOf(prompt(60, 1), 100);
    scheduler.add(short);
    scheduler.add(long);
    for (let step = scheduler.schedule(0); step !== null; step = scheduler.schedule(0)) scheduler.complete(step);
    expect([short.finished, short.outputIds.length, short.outputIds.at(-1)]).toEqual(['stop', 3, 9999]);
    expect([long.finished, long.totalTokens]).toEqual(['length', LIMITS.maxModelLen]);
  });

  it('preempts the youngest when blocks run out, and both end with the text they would have had', () => {
    const scheduler = new Scheduler({ ...LIMITS, blockCount: 18 }, null);
    const sequences = [sequenceOf(prompt(24), 24), sequenceOf(prompt(24, 1), 24)];
    for (const sequence of sequences) scheduler.add(sequence);
    for (let step = scheduler.schedule(0); step !== null; step = scheduler.schedule(0)) {
      scheduler.complete(step);
      checkBlocks(scheduler);
    }
    expect(scheduler.counters.preemptions).toBeGreaterThan(0);
    expect(sequences[0]?.preemptions).toBe(0);
    for (const { promptIds, outputIds, finished } of sequences) {
      expect(finished).toBe('length');
      expect(outputIds).toEqual(Array.from({ length: 24 }, (_, position) => tokenOf(promptIds, position)));
    }
    expect(scheduler.pool.usedBlocks).toBe(0);
  });

  it('waits for a load, then computes only the rest', () => {
    const loads: [number, number][] = [];
    const scheduler = new Scheduler(LIMITS, (sequence, hitTokens, localTokens) => {
      loads.push([hitTokens, localTokens]);
      sequence.remote = { kind: 'loading', dueAt: 5, hitTokens, loadedTokens: hitTokens };
    });
    const sequence = sequenceOf(prompt(30), 1);
    scheduler.add(sequence);
    expect(scheduler.needsLookup()).toEqual([sequence]);
    expect(scheduler.schedule(0)).toBeNull();
    sequence.remote = { kind: 'answered', hitTokens: 24, unspentSeconds: 0 };
    expect(scheduler.needsLookup()).toEqual([]);
    expect(scheduler.schedule(0)).toBeNull();
    expect(loads).toEqual([[24, 0]]);
    expect(scheduler.schedule(4.9)).toBeNull();
    expect(scheduler.schedule(5)?.shape.prefills).toEqual([{ newTokens: 6, contextTokens: 24 }]);
    expect(sequence.externalHitTokens).toBe(24);
    expect(scheduler.counters).toMatchObject({ externalQueries: 30, externalHits: 24 });
  });

  it('uses a load only once the engine has seen its end, while others run', () => {
    const scheduler = new Scheduler(LIMITS, (sequence, hitTokens) => {
      sequence.remote = { kind: 'loading', dueAt: 5, hitTokens, loadedTokens: hitTokens };
    });
    const running = sequenceOf(prompt(8), 20);
    const loaded = sequenceOf(prompt(30, 1), 1);
    const next = (now: number, polledAt: number) => {
      for (const sequence of scheduler.needsLookup()) {
        sequence.remote = { kind: 'answered', hitTokens: sequence === loaded ? 24 : 0, unspentSeconds: 0 };
      }
      const step = scheduler.schedule(now, polledAt);
      if (step !== null) scheduler.complete(step);
      return step?.entries.length;
    };
    scheduler.add(running);
    scheduler.add(loaded);
    expect(next(1, 0)).toBe(1);
    expect(next(6, 4)).toBe(1);
    expect(next(7, 5)).toBe(2);
    // An engine without other work sees it at once.
    const alone = sequenceOf(prompt(30, 2), 1);
    scheduler.finish(running, 'abort');
    scheduler.add(alone);
    alone.remote = { kind: 'answered', hitTokens: 24, unspentSeconds: 0 };
    expect(scheduler.schedule(0)).toBeNull();
    expect(scheduler.schedule(5, 0)?.entries).toHaveLength(1);
  });

  it('takes blocks from one that has loaded for a preempted one before it', () => {
    const own = { ...LIMITS, maxNumBatchedTokens: 7, maxNumSeqs: 2, blockCount: 18 };
    const scheduler = new Scheduler(own, (sequence, hitTokens) => {
      sequence.remote = { kind: 'loading', dueAt: now + 2, hitTokens, loadedTokens: hitTokens };
    });
    // It grows to all but six blocks, of which the other one has taken seven when it needs the eleventh.
    const growing = sequenceOf(prompt(35), 7);
    const loaded = sequenceOf(prompt(26, 1), 1);
    let now = 0;
    scheduler.add(growing);
    for (; now < 100 && loaded.finished === null; now += 1) {
      if (growing.outputIds.length === 5 && !scheduler.waiting.includes(loaded)) scheduler.add(loaded);
      for (const sequence of scheduler.needsLookup()) {
        sequence.remote = { kind: 'answered', hitTokens: sequence === loaded ? 25 : 0, unspentSeconds: 0 };
      }
      const step = scheduler.schedule(now);
      if (step !== null) scheduler.complete(step);
    }
    expect(growing.preemptions).toBe(1);
    expect([growing.finished, loaded.finished]).toEqual(['length', 'length']);
  });

  it('recomputes what the cache tier had lost', () => {
    const scheduler = new Scheduler(LIMITS, (sequence, hitTokens, localTokens) => {
      sequence.remote = { kind: 'loading', dueAt: 1, hitTokens, loadedTokens: localTokens };
    });
    const sequence = sequenceOf(prompt(30), 1);
    scheduler.add(sequence);
    sequence.remote = { kind: 'answered', hitTokens: 24, unspentSeconds: 0 };
    scheduler.schedule(0);
    expect(scheduler.schedule(1)?.shape.prefills).toEqual([{ newTokens: 30, contextTokens: 0 }]);
    expect(sequence.externalHitTokens).toBe(0);
  });
});

describe('Scheduler, whatever comes', () => {
  const request = fc.record({
    at: fc.nat({ max: 20 }),
    family: fc.nat({ max: 2 }),
    length: fc.integer({ min: 1, max: 40 }),
    outputs: fc.integer({ min: 1, max: 20 }),
    abortAt: fc.option(fc.nat({ max: 40 }), { nil: null, freq: 5 }),
    remoteHits: fc.nat({ max: 9 }),
    loadFails: fc.boolean(),
  });
  const limits = fc.record({
    maxNumBatchedTokens: fc.integer({ min: 4, max: 40 }),
    maxNumSeqs: fc.integer({ min: 1, max: 5 }),
    blockCount: fc.integer({ min: 18, max: 40 }),
    prefixCaching: fc.boolean(),
    connector: fc.boolean(),
  });

  it('neither leaks nor double-frees blocks, keeps the budget and the order, and changes no text', () => {
    fc.assert(
      fc.property(limits, fc.array(request, { minLength: 1, maxLength: 12 }), (chosen, requests) => {
        const own: SchedulerLimits = { ...LIMITS, ...chosen };
        let now = 0;
        const failing = new Set<Sequence>();
        // Prefixes that some block has held: computed here or loaded from the cache tier.
        const seen: (readonly number[])[] = [];
        const scheduler = new Scheduler(
          own,
          chosen.connector
            ? (sequence, hitTokens, localTokens) => {
                const loadedTokens = failing.has(sequence) ? localTokens : hitTokens;
                seen.push(sequence.allTokens());
                sequence.remote = { kind: 'loading', dueAt: now + 2, hitTokens, loadedTokens };
              }
            : null,
        );
        const all = requests.map((wanted) => ({
          ...wanted,
          sequence: sequenceOf(prompt(wanted.length, wanted.family), wanted.outputs),
        }));
        const admitted: Sequence[] = [];
        for (now = 0; now < 2000; now += 1) {
          for (const { at, sequence, loadFails } of all) {
            if (at !== now) continue;
            if (loadFails) failing.add(sequence);
            scheduler.add(sequence);
          }
          for (const { abortAt, sequence, at } of all) {
            if (abortAt !== null && at + abortAt === now) scheduler.finish(sequence, 'abort');
          }
          for (const sequence of scheduler.needsLookup()) {
            const hits = all.find((candidate) => candidate.sequence === sequence)?.remoteHits ?? 0;
            sequence.remote = {
              kind: 'answered',
              hitTokens: Math.min(hits * 8, sequence.totalTokens - 1),
              unspentSeconds: 0,
            };
          }
          checkBlocks(scheduler);
          const step = scheduler.schedule(now);
          checkBlocks(scheduler);
          expect(scheduler.running.length).toBeLessThanOrEqual(own.maxNumSeqs);
          if (step === null) {
            if (now > 60 && scheduler.running.length + scheduler.waiting.length === 0) break;
            continue;
          }
          checkStep(step, own);
          // A block may be shared within the step that computes it, so what precedes in the step counts as seen.
          for (const { sequence } of step.entries) {
            if (!admitted.includes(sequence)) {
              admitted.push(sequence);
              expect(sequence.localHitTokens).toBeLessThanOrEqual(naiveHits(sequence.promptIds, seen, own));
            }
            seen.push(sequence.allTokens());
          }
          scheduler.complete(step);
        }
        expect(scheduler.running.length + scheduler.waiting.length).toBe(0);
        expect(scheduler.pool.usedBlocks).toBe(0);
        for (const { sequence, outputs } of all) {
          if (sequence.finished === 'abort') continue;
          expect(sequence.finished).toBe('length');
          expect(sequence.outputIds).toEqual(
            Array.from({ length: Math.min(outputs, own.maxModelLen - sequence.promptIds.length) }, (_, position) =>
              tokenOf(sequence.promptIds, position),
            ),
          );
        }
        if (!chosen.connector)
          expectFirstComeFirstServed(
            admitted,
            all.filter(({ sequence }) => admitted.includes(sequence)),
          );
      }),
      { numRuns: 200 },
    );
  });

  /** What a cache that never forgets would have. */
  function naiveHits(tokens: readonly number[], seen: readonly (readonly number[])[], own: SchedulerLimits): number {
    if (!own.prefixCaching) return 0;
    let best = 0;
    for (const other of seen) {
      let common = 0;
      while (common < tokens.length && common < other.length && tokens[common] === other[common]) common += 1;
      best = Math.max(best, common);
    }
    return Math.floor(Math.min(best, tokens.length - 1) / own.blockTokens) * own.blockTokens;
  }

  function expectFirstComeFirstServed(
    admitted: readonly Sequence[],
    all: readonly { readonly at: number; readonly sequence: Sequence }[],
  ): void {
    const byArrival = [...all].sort((left, right) => left.at - right.at).map(({ sequence }) => sequence);
    expect(admitted.map(({ number }) => number)).toEqual(byArrival.map(({ number }) => number));
  }
});
