import { stringify } from 'csv-stringify/sync';
import type { SweepExperiment, SweepSummary } from '../../results-schema/sweep-summary.js';
import { evictionName } from './sweep-charts.js';
import { measurementOf } from './sweep-figures.js';

type Cell = string | number | null | undefined;

/** Every figure of every experiment, one row an experiment; what was not measured is empty, times are in ms. */
export function sweepCsv(summary: SweepSummary): string {
  const rows = summary.experiments.map((experiment) => sweepRow(experiment, summary));
  const columns = Object.keys(rows[0] ?? {});
  // A name that begins like a formula is none when a spreadsheet opens it.
  return stringify(rows, { header: true, columns, escape_formulas: true });
}

function sweepRow(experiment: SweepExperiment, summary: SweepSummary): Readonly<Record<string, Cell>> {
  const { configuration, result } = experiment;
  const measured = measurementOf(experiment);
  const ran = result.outcome === 'pending' ? null : result;
  return {
    name: experiment.name,
    position: experiment.position,
    model: configuration.model.name,
    dataset: configuration.dataset.name,
    cache_size_gb: configuration.cacheSizeGb,
    request_rate: configuration.requestRate,
    eviction: evictionName(configuration),
    num_prompts: configuration.numPrompts,
    time_limit_s: configuration.timeLimitSeconds,
    mock_decoding: String(configuration.mockDecoding),
    simulated: String(summary.engine === 'sim' || summary.simulated !== null),
    outcome: result.outcome,
    reason: result.outcome === 'failed' ? result.reason : null,
    execution_s: ran?.executionSeconds,
    gpus: ran?.gpus.join(' '),
    completed: measured?.requests.completed,
    failed: measured?.requests.failed,
    duration_s: measured?.durationSeconds,
    input_tokens: measured?.inputTokens,
    output_tokens: measured?.outputTokens,
    requests_per_s: measured?.requestThroughput,
    output_tokens_per_s: measured?.outputThroughput,
    total_tokens_per_s: measured?.totalTokenThroughput,
    ...latency('ttft', measured?.ttftMs),
    ...latency('tpot', measured?.tpotMs ?? undefined),
    ...latency('e2el', measured?.e2elMs),
    gpu_hit_rate: measured?.cache.gpu.hitRate,
    lmcache_hit_rate: measured?.cache.lmcache.hitRate,
    combined_hit_rate: measured?.cache.combinedHitRate,
    conversations: measured?.conversations.conversations,
    mean_turns: measured?.conversations.meanTurns,
  };
}

function latency(name: string, values: Readonly<Record<string, number>> | undefined): Record<string, Cell> {
  const parts = ['mean', 'median', 'p90', 'p95', 'p99'];
  return Object.fromEntries(parts.map((part) => [`${name}_${part}_ms`, values?.[part]]));
}
