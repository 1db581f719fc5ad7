import { describe, expect, it } from 'vitest';
import { describeSide, differencesOf, type MeasuredExperiment } from '../../../experiments/suite/differences.js';
import type { ResultRow } from '../../../experiments/suite/results-csv.js';
import type { Shows } from '../../../experiments/suite/shows.js';

function row(engineId: number, requestId: number, ttft: number | null, throughput = 100): ResultRow {
  return {
    experimentId: 0,
    timestamp: 0,
    engineId,
    requestId,
    ttft,
    throughput,
    contextLength: 1,
    queryLength: 1,
    gpuMemory: {},
    latency: 1,
  };
}

const shows: Shows = {
  what: 'reuse',
  metric: 'TTFT',
  better: { engine: 0, requests: 'later' },
  worse: { engine: 1, requests: 'later' },
  atLeast: 1.5,
};
// The first requests of both are slow and belong to neither side; a failed one counts nowhere.
const rows = [row(0, 0, 9), row(1, 0, 9), row(0, 1, 0.2), row(0, 2, 0.4), row(1, 1, 0.6), row(1, 2, null)];

function measured(more: Partial<MeasuredExperiment> = {}): MeasuredExperiment {
  return { function: 'test_a', id: 0, shows: [shows], rows, overloaded: false, ...more };
}

describe('a difference', () => {
  it('is shown where the medians differ by enough', () => {
    const [difference] = differencesOf(measured(), []);
    expect(difference).toMatchObject({ outcome: 'shown', atLeast: 1.5 });
    expect(difference?.better).toBeCloseTo(0.3);
    expect(difference?.ratio).toBeCloseTo(2);
  });

  it('is not shown where they do not, and where there is nothing to compare', () => {
    const strict = [{ ...shows, atLeast: 2.1 }];
    expect(differencesOf(measured({ shows: strict }), [])).toMatchObject([{ outcome: 'not shown' }]);
    expect(differencesOf(measured({ rows: rows.slice(0, 4) }), [])).toMatchObject([
      { outcome: 'not shown', ratio: null, worse: null },
    ]);
  });

  it('decides nothing where the client was overloaded, unless it is there all the same', () => {
    const strict = [{ ...shows, atLeast: 2.1 }];
    expect(differencesOf(measured({ shows: strict, overloaded: true }), [])).toMatchObject([{ outcome: 'unclear' }]);
    expect(differencesOf(measured({ overloaded: true }), [])).toMatchObject([{ outcome: 'shown' }]);
  });

  it('of throughput is better when it is higher, and needs 1.1 by default', () => {
    const throughput: Shows = { what: 'rate', metric: 'throughput', better: { engine: 0 }, worse: { engine: 1 } };
    const both = [row(0, 0, 1, 130), row(1, 0, 1, 100)];
    expect(differencesOf(measured({ shows: [throughput], rows: both }), [])).toMatchObject([
      { outcome: 'shown', ratio: 1.3, atLeast: 1.1 },
    ]);
  });

  it('can be to another function, where that was run', () => {
    const across: Shows = { ...shows, worse: { function: 'test_b', engine: 0, requests: [1] } };
    const other = measured({ function: 'test_b', rows: [row(0, 1, 3)] });
    expect(differencesOf(measured({ shows: [across] }), [other])).toMatchObject([{ outcome: 'shown', worse: 3 }]);
    expect(differencesOf(measured({ shows: [across] }), [])).toMatchObject([{ outcome: 'not compared' }]);
    expect(describeSide(across.worse)).toBe('test_b, engine 0, requests 1');
  });
});
