import { rmSync } from 'node:fs';
import path from 'node:path';
import { experiment, lmcache, testCase, vllm } from '../../experiments/suite/build.js';
import type { ResultRow } from '../../experiments/suite/results-csv.js';
import { formatNumber, formatQuantity } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { median } from '../../workloads/statistics.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { defaultModel, newRun, readModel, readPorts, readSeed, runFunctions } from './experiments-run.js';
import { addEngineFlags, configureEngines, readEngineSettings } from './experiments-settings.js';
import { FlagProblems } from './flag-problems.js';

const contextLength = 16_384;
const queries = 10;
const defaultPorts = [8000, 8001];
const withLmcache = 0;
const without = 1;

/** `lmcache-ci improvements`: one context, asked about ten times, with and without LMCache. */
export const improvementsCommand: Command = {
  async build(parser) {
    parser
      .usage(
        `$0 improvements [options]\n\nMeasures what LMCache brings: a context of ${contextLength.toLocaleString('en')} tokens, asked about ${queries} times, with and without LMCache.`,
      )
      .option('model', {
        alias: 'm',
        type: 'string',
        requiresArg: true,
        default: defaultModel,
        describe: 'The model of both engines',
      })
      .option('output-dir', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        default: 'outputs/',
        describe: 'The directory for improvements.csv, which process-result draws',
      })
      .option('port', {
        alias: 'p',
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'The ports of both engines [default: 8000 8001]',
      })
      .option('seed', {
        type: 'string',
        requiresArg: true,
        describe: 'Decides every prompt [default: another one each time]',
      })
      .example('$0 improvements', 'on two GPUs, or on the simulator')
      .example('$0 improvements -m Qwen/Qwen3-14B && $0 process-result outputs/improvements.csv', 'with curves')
      .epilogue(
        describeExitCodes({
          0: 'measured',
          1: 'requests failed',
          3: 'no verdict: an engine did not start',
          interrupted: 'the CSV has what was measured',
        }),
      );
    return addEngineFlags(parser);
  },

  async check(parsed) {
    readFlags(parsed);
  },

  async run(parsed) {
    const { model, ports, seed } = readFlags(parsed);
    const settings = await readEngineSettings(parsed, model);
    const outputDirectory = path.resolve(String(parsed['outputDir']));
    const { id, directory } = newRun(outputDirectory);
    try {
      const cases = [
        testCase({
          engines: [
            vllm({
              lmcache: lmcache({ chunk_size: 256, local_device: 'cpu', local_cpu: true, max_local_cpu_size: 20 }),
            }),
            vllm(),
          ],
          experiments: [experiment({ queries, contextLength })],
        }),
      ];
      return await runFunctions([{ name: 'improvements', cases }], settings, {
        file: 'lmcache-ci improvements',
        directory,
        ports,
        seed,
        id,
        outputDirectory,
        modelSuffix: null,
        extraColumns: false,
        repeatsUnclear: false,
        conclude: ([result], reporter) => {
          if (result === undefined || result.failures.length > 0) return null;
          reporter.line(`\n${improvementsTable(result.experiments.flatMap(({ rows }) => rows))}`);
          return 0;
        },
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

/** @throws UsageError with all that is wrong with flags and settings */
function readFlags(parsed: Readonly<Record<string, unknown>>) {
  const problems = new FlagProblems();
  const flags = {
    model: problems.read(() => readModel(parsed['model']), undefined) ?? defaultModel,
    ports: problems.read(() => readPorts('-p', parsed['port'], defaultPorts), defaultPorts),
    seed: problems.read(() => readSeed(parsed['seed']), 0),
  };
  problems.read(() => configureEngines(parsed), null);
  problems.throwIfAny();
  return flags;
}

/** The first request of each engine brings the context; all others can reuse it. */
function improvementsTable(rows: readonly ResultRow[]): string {
  const of = (engine: number, value: (row: ResultRow) => number | null): number | null => {
    const values = rows.flatMap((row) => {
      const found = row.engineId === engine && row.requestId > 0 ? value(row) : null;
      return found === null ? [] : [found];
    });
    return values.length === 0 ? null : median(values);
  };
  const memory = (engine: number) =>
    of(engine, (row) => (row.gpuMemory[`gpu-${engine}`] ?? null) && (row.gpuMemory[`gpu-${engine}`] ?? 0) / 1024);
  const metrics = [
    {
      name: 'TTFT',
      unit: 's',
      lower: true,
      values: [withLmcache, without].map((engine) => of(engine, ({ ttft }) => ttft)),
    },
    {
      name: 'Throughput',
      unit: 'tok/s',
      lower: false,
      values: [withLmcache, without].map((engine) => of(engine, ({ throughput }) => throughput)),
    },
    { name: 'GPU memory', unit: 'GiB', lower: true, values: [withLmcache, without].map(memory) },
  ];
  const lines = metrics.map(({ name, unit, lower, values: [cached = null, plain = null] }) => [
    name,
    formatQuantity(cached, unit),
    formatQuantity(plain, unit),
    lower ? 'lower is better' : 'higher is better',
    ratioText(lower, cached, plain),
  ]);
  return textTable([['', 'with LMCache', 'without', '', 'ratio'], ...lines], [1, 2]);
}

function ratioText(lower: boolean, cached: number | null, plain: number | null): string {
  if (cached === null || plain === null || cached === 0 || plain === 0) return 'not measured';
  const better = lower ? plain / cached : cached / plain;
  const text = `${formatNumber(better >= 1 ? better : 1 / better, 3)}x`;
  if (Math.abs(better - 1) < 0.005) return 'the same';
  return better > 1 ? `${text} better` : `${text} worse`;
}
