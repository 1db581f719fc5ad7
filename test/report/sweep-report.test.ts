import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maxSeries, splitChart } from '../../report/charts/line-chart.js';
import { cellText } from '../../report/pages/report-document.js';
import { paretoFront } from '../../report/sweep/pareto-front.js';
import { curves, paretoChart } from '../../report/sweep/sweep-charts.js';
import { sweepCsv } from '../../report/sweep/sweep-csv.js';
import { sweepGroups } from '../../report/sweep/sweep-groups.js';
import { sweepReport } from '../../report/sweep/sweep-report.js';
import { largeSweep, sampleSweep } from './sample-sweep.js';

const small = sampleSweep([
  { dataset: 'logs', cacheSizes: [64, 128, 256], requestRates: [0.7, 1], evictions: [false, true] },
]);

describe('the Pareto front', () => {
  it('is what no other beats, as a naive comparison finds it', () => {
    const item = fc.record({ cost: fc.nat(20), gain: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 40 }), (items) => {
        const front = paretoFront(items);
        const beaten = (one: (typeof items)[number]) =>
          items.some(
            (other) =>
              other.cost <= one.cost && other.gain >= one.gain && (other.cost < one.cost || other.gain > one.gain),
          );
        const naive = items.filter((one) => !beaten(one)).map(({ cost, gain }) => `${cost} ${gain}`);
        expect(new Set(front.map(({ cost, gain }) => `${cost} ${gain}`))).toEqual(new Set(naive));
        expect(front).toHaveLength(new Set(naive).size);
      }),
    );
  });

  it('is drawn over all successful experiments', () => {
    const pareto = paretoChart(small.experiments, true);
    expect(pareto?.chart.series.map(({ name, points }) => [name, points.length])).toEqual([
      ['LRU', 6],
      ['conversation-aware', 6],
      ['Pareto front', pareto?.front.length],
    ]);
    expect(paretoChart(small.experiments.slice(0, 1), true)).toBeNull();
  });
});

describe('the curves of a sweep', () => {
  it('are TTFT, throughput and hit rates over cache size and request rate', () => {
    const charts = curves(small.experiments, true);
    const lmcacheLabel = 'tokens that LMCache had, of those that the GPU had not (%)';
    expect(charts.map(({ title, xLabel, yLabel }) => [title, xLabel, yLabel])).toEqual([
      ['Mean TTFT over cache size', 'cache size (GB)', 'mean TTFT (ms)'],
      ['Throughput over cache size', 'cache size (GB)', 'generated tokens/s'],
      ['Hit rate over cache size', 'cache size (GB)', 'prompt tokens from a cache (%)'],
      ["LMCache's hit rate over cache size", 'cache size (GB)', lmcacheLabel],
      ['Mean TTFT over request rate', 'request rate (requests/s)', 'mean TTFT (ms)'],
      ['Throughput over request rate', 'request rate (requests/s)', 'generated tokens/s'],
      ['Hit rate over request rate', 'request rate (requests/s)', 'prompt tokens from a cache (%)'],
      ["LMCache's hit rate over request rate", 'request rate (requests/s)', lmcacheLabel],
    ]);
    expect(charts.every(({ simulated }) => simulated)).toBe(true);
    expect(charts[0]?.series.map(({ name }) => name)).toEqual([
      '0.7 req/s, LRU',
      '0.7 req/s, conversation-aware',
      '1 req/s, LRU',
      '1 req/s, conversation-aware',
    ]);
    expect(charts[0]).toMatchObject({ xTicks: [64, 128, 256], xScale: 'log' });
    expect(charts[4]).toMatchObject({ xTicks: [0.7, 1], xScale: 'linear' });
  });

  it('hold the measured figures, in ms and %', () => {
    const first = small.experiments[0];
    if (first?.result.outcome !== 'successful') throw new Error('the sample starts with a successful experiment');
    const [ttft, , hits, lmcache] = curves(small.experiments, true);
    const { measurement } = first.result;
    expect(ttft?.series[0]?.points[0]).toEqual({ x: 64, y: measurement.ttftMs.mean, label: first.name });
    expect(hits?.series[0]?.points[0]?.y).toBeCloseTo((measurement.cache.combinedHitRate ?? 0) * 100, 9);
    expect(lmcache?.series[0]?.points[0]?.y).toBeCloseTo((measurement.cache.lmcache.hitRate ?? 0) * 100, 9);
  });

  it('show total tokens with mock decoding, where one token an answer says nothing', () => {
    const mocked = small.experiments.map((one) => ({
      ...one,
      configuration: { ...one.configuration, mockDecoding: true },
    }));
    expect(curves(mocked, true)[1]?.yLabel).toBe('prompt and generated tokens/s');
  });

  it('show TTFT on a logarithmic axis where an overloaded server takes many times as long', () => {
    const [first, second] = sampleSweep([
      { dataset: 'x', cacheSizes: [64], requestRates: [1, 2], evictions: [false] },
    ]).experiments;
    if (first?.result.outcome !== 'successful' || second === undefined)
      throw new Error('the sample has two experiments');
    const { measurement } = first.result;
    const slow = { ...measurement, ttftMs: { ...measurement.ttftMs, mean: measurement.ttftMs.mean * 50 } };
    const experiments = [first, { ...second, result: { ...first.result, measurement: slow } }];
    expect(curves(experiments, true)[0]).toMatchObject({ yLabel: 'mean TTFT (ms), logarithmic', yScale: 'log' });
    expect(curves(experiments, true)[1]).toMatchObject({ yMin: 0 });
    expect(paretoChart(experiments, true)?.chart).toMatchObject({ xScale: 'log' });
  });

  it('have a gap where an experiment failed', () => {
    const failed = small.experiments.map((one) => ({ ...one, result: { outcome: 'pending' as const } }));
    for (const { series } of curves(failed, true)) {
      for (const { points } of series) expect(points.every(({ y }) => y === null)).toBe(true);
    }
    expect(paretoChart(failed, true)).toBeNull();
  });

  it('are not drawn over what does not vary', () => {
    const one = sampleSweep([{ dataset: 'x', cacheSizes: [64], requestRates: [1, 2], evictions: [false] }]).experiments;
    expect(curves(one, true).map(({ title }) => title)).toEqual([
      'Mean TTFT over request rate',
      'Throughput over request rate',
      'Hit rate over request rate',
    ]);
    expect(curves(one.slice(0, 1), true)).toEqual([]);
  });

  it('never have more lines than can be told apart', () => {
    for (const { experiments } of sweepGroups(largeSweep().experiments)) {
      for (const chart of curves(experiments, true).flatMap(splitChart)) {
        expect(chart.series.length).toBeLessThanOrEqual(maxSeries);
      }
    }
    const many = sampleSweep([
      {
        dataset: 'x',
        cacheSizes: Array.from({ length: 15 }, (_, index) => 2 ** index),
        requestRates: [1, 2],
        evictions: [false, true],
      },
    ]);
    const titles = curves(many.experiments, true).map(({ title }) => title);
    expect(titles).toContain('Mean TTFT over request rate, LRU');
    expect(titles).toContain('Mean TTFT over request rate, conversation-aware');
  });
});

describe('the report of a sweep', () => {
  it('has a section for each model and data set, and every experiment in a table', () => {
    const report = sweepReport(largeSweep());
    expect(report.sections.map(({ title }) => title)).toEqual([
      'Failures',
      'cw_logs_5_29_5am_6am on qwen-8b',
      'cw_logs_5_28_19pm_20pm on qwen-8b',
    ]);
    expect(report.lead).toBe('200 experiments, 189 successful, 11 failed; 2 min 31 s each on average.');
    expect(report.simulated).toContain('SIMULATED');
    const rows = report.sections.flatMap(({ tables }) =>
      tables.filter(({ caption }) => caption.endsWith('all experiments')),
    );
    expect(rows.reduce((sum, table) => sum + table.rows.length, 0)).toBe(200);
    expect(report.sections[0]?.tables[0]?.rows[0]?.map(cellText)).toEqual([
      'cw_logs_5_29_5am_6am_32gb_1.4rps_lru',
      'infrastructure (timeout): the server was not ready after 300 s',
      'server',
      'client',
    ]);
  });

  it('tells groups of one data set apart by what differs', () => {
    const shorter = small.experiments.map((one) => ({
      ...one,
      configuration: { ...one.configuration, numPrompts: 10 },
    }));
    expect(sweepGroups([...small.experiments, ...shorter]).map(({ title }) => title)).toEqual([
      'logs on qwen-8b, at most 30000 prompts',
      'logs on qwen-8b, at most 10 prompts',
    ]);
  });

  it('is not marked on real GPUs', () => {
    const real = sweepReport({ ...small, engine: 'vllm', simulated: null });
    expect(real.simulated).toBeNull();
    expect(real.sections.flatMap(({ charts }) => charts).some(({ simulated }) => simulated)).toBe(false);
  });
});

describe('the CSV of a sweep', () => {
  it('has every experiment, empty where nothing was measured', () => {
    const rows = parse<Record<string, string>>(sweepCsv(largeSweep()), { columns: true });
    expect(rows).toHaveLength(200);
    expect(rows[0]).toMatchObject({ cache_size_gb: '16', request_rate: '0.5', eviction: 'LRU', simulated: 'true' });
    expect(Number(rows[0]?.['ttft_p99_ms'])).toBeGreaterThan(100);
    const failed = rows.find(({ outcome }) => outcome === 'failed');
    expect(failed).toMatchObject({ reason: 'infrastructure', ttft_mean_ms: '', combined_hit_rate: '' });
  });

  it('starts no formula in a spreadsheet', () => {
    const evil = small.experiments.map((one) => ({ ...one, name: '=HYPERLINK("http://x")' }));
    const rows = parse<Record<string, string>>(sweepCsv({ ...small, experiments: evil }), { columns: true });
    expect(rows[0]?.['name']).toBe('\'=HYPERLINK("http://x")');
    expect(sweepCsv({ ...small, experiments: [] }).trim()).toBe('');
  });
});

describe('the warnings of a sweep', () => {
  it('are told once, with the experiments that they are about', () => {
    const warn = (position: number) => [...(position < 2 ? ['only the first two'] : []), 'all of them'];
    const experiments = small.experiments.map((one, position) => {
      const { result } = one;
      return result.outcome === 'successful' ? { ...one, result: { ...result, warnings: warn(position) } } : one;
    });
    const { sections, lead } = sweepReport({ ...small, experiments });
    const [first, second] = small.experiments.map(({ name }) => name);
    expect(sections.at(-1)?.tables[0]?.rows).toEqual([
      ['only the first two', `${first}, ${second}`],
      ['all of them', 'all 12'],
    ]);
    expect(lead).toContain('12 with warnings');
  });
});
