import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { z } from 'zod';
import { defaultSizes } from '../experiments/cache-simulation/cache-sizes.js';
import { type PolicyName, policyNames } from '../experiments/cache-simulation/policy.js';
import { simulateCache } from '../experiments/cache-simulation/simulate.js';
import { formatNumber } from '../report/numbers.js';
import { textTable } from '../report/text-table.js';
import { convertTrace } from '../workloads/traces/convert-trace.js';
import { defaultShape, generateConversations } from '../workloads/traces/generate-conversations.js';
import { openTrace } from '../workloads/traces/open-trace.js';
import { writeConversationCsv } from '../workloads/traces/write-csv.js';

const MIN_ROWS_A_SECOND = 300_000;
const MIN_ACCESSES_A_SECOND = 1_000_000;
const MAX_RSS_BYTES = 2 ** 30;
const MAX_OUTPUT = 1024 * 1024;

const stageSchema = z.object({
  stage: z.string(),
  /** Rows, or chunk accesses over all passes. */
  handled: z.number(),
  unit: z.enum(['rows', 'accesses']),
  seconds: z.number(),
  maxRssBytes: z.number(),
  detail: z.string(),
});
type Stage = z.infer<typeof stageSchema>;

/**
 * `npm run bench:cache-simulation -- [--rows 10000000] [--sizes 8] [--scratch DIR]`: a generated trace as CSV,
 * its conversion to columns, and each policy's simulation, every one in a process of its own, so that peaks of memory
 * are its own. Needs about 150 bytes of disk a row.
 * @returns the exit code: 1 where a figure misses its limit
 */
export async function runCacheSimulationBenchmark(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rows: { type: 'string', default: '10000000' },
      sizes: { type: 'string', default: '8' },
      scratch: { type: 'string', default: tmpdir() },
      stage: { type: 'string' },
      directory: { type: 'string', default: '' },
    },
  });
  for (const [name, value] of [
    ['--rows', values.rows],
    ['--sizes', values.sizes],
  ] as const) {
    if (!/^[1-9]\d{0,8}$/.test(value)) {
      process.stderr.write(`${name} must be a whole number from 1, not "${value}".\n`);
      return 2;
    }
  }
  if (values.stage !== undefined) {
    const stage = await runStage(values.stage, values.directory, Number(values.rows), Number(values.sizes));
    process.stdout.write(JSON.stringify({ ...stage, maxRssBytes: process.resourceUsage().maxRSS * 1024 }));
    return 0;
  }
  const directory = await mkdtemp(join(values.scratch, 'lmcache-ci-bench-cache-simulation-'));
  try {
    const stages: Stage[] = [];
    for (const stage of ['generate', 'convert', ...policyNames]) {
      process.stderr.write(`${stage} ...\n`);
      stages.push(await inOwnProcess(stage, directory, values.rows, values.sizes));
    }
    return report(stages, values.rows);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function inOwnProcess(stage: string, directory: string, rows: string, sizes: string): Promise<Stage> {
  const script = fileURLToPath(new URL('../../bench/run-cache-simulation.mjs', import.meta.url));
  const args = [script, '--stage', stage, '--directory', directory, '--rows', rows, '--sizes', sizes];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: MAX_OUTPUT });
  return stageSchema.parse(JSON.parse(stdout));
}

async function runStage(
  stage: string,
  directory: string,
  rows: number,
  sizeCount: number,
): Promise<Omit<Stage, 'maxRssBytes'>> {
  const csv = join(directory, 'trace.csv');
  const columnar = join(directory, 'trace.lctrace');
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 1000;
  if (stage === 'generate') {
    const shape = { ...defaultShape, conversationsPerSecond: 20, seed: 1, maxRequests: rows };
    const handled = await writeConversationCsv(csv, generateConversations(shape), 1_748_494_800);
    return {
      stage,
      handled,
      unit: 'rows',
      seconds: elapsed(),
      detail: `${formatNumber((await stat(csv)).size)} bytes`,
    };
  }
  if (stage === 'convert') {
    const { requests, conversations } = await convertTrace(await openTrace(csv), columnar);
    const seconds = elapsed();
    const { size } = await stat(columnar);
    const detail = `${formatNumber(conversations)} conversations, ${formatNumber(size)} bytes`;
    return { stage, handled: requests, unit: 'rows', seconds, detail };
  }
  const policy = policyNames.find((name) => name === stage) ?? 'lru';
  return simulationStage(policy, columnar, directory, sizeCount);
}

async function simulationStage(
  policy: PolicyName,
  columnar: string,
  scratch: string,
  sizeCount: number,
): Promise<Omit<Stage, 'maxRssBytes'>> {
  const result = await simulateCache(columnar, {
    policies: [policy],
    chunkTokens: 256,
    storeAnswers: true,
    maxContextTokens: null,
    sizesFor: (facts) => defaultSizes(facts, sizeCount),
    scratch,
  });
  const [curve] = result.curves;
  const { trace, surveySeconds } = result;
  const rates = curve?.points.map(({ hitRate }) => hitRate.toFixed(3)).join(' ') ?? '';
  return {
    stage: policy,
    handled: (curve?.accessesPerSecond ?? 0) * (curve?.seconds ?? 0),
    unit: 'accesses',
    seconds: curve?.seconds ?? 0,
    detail: `${formatNumber(trace.distinctChunks)} chunks, survey ${surveySeconds.toFixed(1)} s; hit rates ${rates}`,
  };
}

function report(stages: readonly Stage[], rows: string): number {
  let missed = 0;
  const lines = stages.map(({ stage, handled, unit, seconds, maxRssBytes, detail }) => {
    const speed = handled / seconds;
    const limits = stage === 'generate' ? null : unit === 'rows' ? MIN_ROWS_A_SECOND : MIN_ACCESSES_A_SECOND;
    const isGood = limits === null || (speed >= limits && maxRssBytes <= MAX_RSS_BYTES);
    missed += isGood ? 0 : 1;
    const verdict = limits === null ? 'no limit' : isGood ? 'met' : 'MISSED';
    const memory = `${formatNumber(Math.round(maxRssBytes / 2 ** 20))} MiB`;
    return [
      stage,
      formatNumber(handled),
      unit,
      seconds.toFixed(2),
      `${formatNumber(Math.round(speed))}/s`,
      memory,
      verdict,
      detail,
    ];
  });
  const header = ['stage', 'handled', '', 'seconds', 'speed', 'peak RSS', 'limits', ''];
  process.stdout.write(
    `${rows} requests; limits: ${formatNumber(MIN_ROWS_A_SECOND)} rows/s, ${formatNumber(MIN_ACCESSES_A_SECOND)} chunk accesses/s a core, 1,024 MiB\n` +
      `${textTable([header, ...lines], [1, 3, 4, 5])}\n`,
  );
  return missed === 0 ? 0 : 1;
}
