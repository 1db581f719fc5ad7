import { stringify } from 'csv-stringify/sync';
import type { CacheSimulationRecord } from '../../results-schema/cache-simulation.js';
import { formatNumber } from '../numbers.js';

/** As reports name the policies. */
export const policyTitles: Readonly<Record<CacheSimulationRecord['curves'][number]['policy'], string>> = {
  lru: 'LRU',
  fifo: 'FIFO',
  conversation: 'Conversation-aware',
  belady: 'Optimum (Belady)',
};

/** Cache sizes down, policies across: what each cell shows is a hit rate in percent. */
export function hitRateRows(record: CacheSimulationRecord): {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const [first] = record.curves;
  return {
    columns: ['cache (GB)', 'chunks', ...record.curves.map(({ policy }) => `${policyTitles[policy]} (%)`)],
    rows: (first?.points ?? []).map(({ sizeGb, sizeChunks }, index) => [
      formatNumber(sizeGb, 3),
      formatNumber(sizeChunks),
      ...record.curves.map(({ points }) => ((points[index]?.hitRate ?? 0) * 100).toFixed(2)),
    ]),
  };
}

/** One row a policy and size. */
export function cacheSimulationCsv(record: CacheSimulationRecord): string {
  const { lookups } = record.trace;
  return stringify(
    record.curves.flatMap(({ policy, points }) =>
      points.map(({ sizeChunks, sizeGb, hits, hitRate }) => ({
        policy,
        cache_size_gb: sizeGb,
        cache_size_chunks: sizeChunks,
        lookups,
        hits,
        hit_rate: hitRate,
        miss_rate: 1 - hitRate,
        simulated: 'true',
      })),
    ),
    { header: true },
  );
}

/** What the trace is, line by line. */
export function traceFacts(
  record: CacheSimulationRecord,
): readonly { readonly label: string; readonly value: string }[] {
  const { trace, options } = record;
  const percent = (part: number, whole: number): string =>
    whole === 0 ? '-' : `${((part / whole) * 100).toFixed(2)} %`;
  return [
    { label: 'Trace', value: `${trace.path} (${trace.format})` },
    {
      label: 'Requests',
      value: `${formatNumber(trace.requests)} of ${formatNumber(trace.conversations)} conversations${trace.skippedRequests === 0 ? '' : `, ${formatNumber(trace.skippedRequests)} beyond ${options.maxContextTokens} tokens left out`}`,
    },
    {
      label: 'Chunks',
      value: `${formatNumber(trace.lookups)} looked up, ${formatNumber(trace.distinctChunks)} distinct, of ${options.chunkTokens} tokens; answers are ${options.storeAnswers ? '' : 'not '}stored`,
    },
    {
      label: 'Without a limit',
      value: `${percent(trace.reusedLookups, trace.lookups)} of the chunks looked up hit: no cache can do better`,
    },
  ];
}
