import type { BenchMetric } from './options.js';
import type { BenchServeJson } from './result-json.js';

const WIDTH = 50;

const TITLES: Readonly<Record<BenchMetric, readonly [name: string, title: string]>> = {
  ttft: ['TTFT', 'Time to First Token'],
  tpot: ['TPOT', 'Time per Output Token (excl. 1st token)'],
  itl: ['ITL', 'Inter-token Latency'],
  e2el: ['E2EL', 'End-to-end Latency'],
  client_queue_time: ['Client Queue Time', 'Client-side Queueing'],
  e2el_including_client_queue: ['E2EL incl. Client Queue', 'Queue-inclusive End-to-end Latency'],
};

/** The table that `vllm bench serve` 0.32.0 prints, line for line. @param percentiles those of the result file */
export function formatBenchTable(json: BenchServeJson, percentiles: readonly number[]): string {
  const lines = [
    centre(' Serving Benchmark Result ', '='),
    row('Successful requests:', String(json.completed)),
    row('Failed requests:', String(json.failed)),
    ...(json.max_concurrency === null ? [] : [row('Maximum request concurrency:', String(json.max_concurrency))]),
    ...(json.request_rate === 'inf' ? [] : [row('Request rate configured (RPS):', pythonFixed2(json.request_rate))]),
    row('Benchmark duration (s):', pythonFixed2(json.duration)),
    row('Total input tokens:', String(json.total_input_tokens)),
    row('Total generated tokens:', String(json.total_output_tokens)),
    row('Request throughput (req/s):', pythonFixed2(json.request_throughput)),
    ...(json.request_goodput === null ? [] : [row('Request goodput (req/s):', pythonFixed2(json.request_goodput))]),
    row('Output token throughput (tok/s):', pythonFixed2(json.output_throughput)),
    row('Peak output token throughput (tok/s):', pythonFixed2(json.max_output_tokens_per_s)),
    row('Peak concurrent requests:', pythonFixed2(json.max_concurrent_requests)),
    row('Total token throughput (tok/s):', pythonFixed2(json.total_token_throughput)),
  ];
  for (const [metric, [name, title]] of Object.entries(TITLES)) {
    if (`mean_${metric}_ms` in json) {
      const value = (statistic: string): string => pythonFixed2(Number(json[`${statistic}_${metric}_ms`]));
      lines.push(
        centre(title, '-'),
        row(`Mean ${name} (ms):`, value('mean')),
        row(`Median ${name} (ms):`, value('median')),
        ...percentiles.map((percent) => row(`P${percent} ${name} (ms):`, value(`p${percent}`))),
      );
    }
  }
  return `${[...lines, '='.repeat(WIDTH)].join('\n')}\n`;
}

/** Python's `{:.2f}`: a tie goes to the even digit. */
export function pythonFixed2(value: number): string {
  // Only odd eighths lie exactly between two hundredths.
  const isTie = Number.isInteger(value * 8) && !Number.isInteger(value * 4);
  const below = Math.floor(value * 100);
  return isTie && below % 2 === 0 ? (below / 100).toFixed(2) : value.toFixed(2);
}

function row(label: string, value: string): string {
  return `${label.padEnd(40)} ${value.padEnd(10)}`;
}

/** Python's `^`: an odd column goes to the right. */
function centre(title: string, fill: string): string {
  const missing = Math.max(0, WIDTH - title.length);
  return title.padStart(title.length + Math.floor(missing / 2), fill).padEnd(WIDTH, fill);
}
