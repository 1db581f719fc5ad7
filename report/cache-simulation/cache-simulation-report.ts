import type { CacheSimulationRecord } from '../../results-schema/cache-simulation.js';
import type { LineChart } from '../charts/line-chart.js';
import { formatNumber } from '../numbers.js';
import type { ReportDocument } from '../pages/report-document.js';
import { hitRateRows, policyTitles, traceFacts } from './cache-simulation-tables.js';

/** The curves as a chart: hit rate over cache size, a line a policy. */
export function hitRateChart(record: CacheSimulationRecord): LineChart {
  return {
    title: 'Hit rate over cache size',
    xLabel: 'cache size (GB)',
    yLabel: 'chunks that hit (%)',
    xScale: 'log',
    yMin: 0,
    yMax: 100,
    simulated: true,
    series: record.curves.map(({ policy, points }) => ({
      name: policyTitles[policy],
      points: points.map(({ sizeGb, hitRate }) => ({ x: sizeGb, y: hitRate * 100 })),
    })),
  };
}

/** An offline simulation as pages. */
export function cacheSimulationReport(record: CacheSimulationRecord): ReportDocument {
  const { options, trace, curves } = record;
  const { columns, rows } = hitRateRows(record);
  return {
    title: 'Hit rate over cache size',
    lead: `What caches of several sizes and eviction policies would have kept of ${formatNumber(trace.requests)} requests.`,
    simulated: 'SIMULATED: computed offline from a trace; no server was measured',
    facts: [
      ...traceFacts(record),
      { label: 'KV cache', value: `${formatNumber(options.kvBytesPerToken)} bytes a token; a GB is 2^30 bytes` },
      ...trace.notes.map(({ note, count }) => ({ label: 'Note', value: `${note} (${formatNumber(count)})` })),
    ],
    sections: [
      {
        title: 'Hit rates',
        paragraphs: [
          'A chunk hits when it and all before it in its prompt are in the cache. Belady’s rule knows the future: no policy can hit more often.',
        ],
        charts: [hitRateChart(record)],
        tables: [
          {
            caption: 'Chunks that hit, of all looked up',
            columns: columns.map((title) => ({ title, numeric: true })),
            rows,
          },
        ],
      },
      {
        title: 'How long it took',
        paragraphs: [],
        charts: [],
        tables: [
          {
            caption: 'By policy',
            columns: [
              { title: 'policy', numeric: false },
              { title: 'time (s)', numeric: true },
              { title: 'chunk accesses a second', numeric: true },
            ],
            rows: curves.map(({ policy, seconds, accessesPerSecond }) => [
              policyTitles[policy],
              seconds.toFixed(2),
              formatNumber(Math.round(accessesPerSecond)),
            ]),
          },
        ],
      },
    ],
  };
}
