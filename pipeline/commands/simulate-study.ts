import { formatFixed, formatNumber } from '../../report/numbers.js';
import { textTable } from '../../report/text-table.js';
import { shapeFromFolder } from '../../simulator/model-config.js';
import { loadProfile } from '../../simulator/profiles.js';
import { runSuiteStudy, type SuiteFigures, type SuiteSizes } from '../../simulator/study/suite-study.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';

/** Prompt tokens beside a document's own words. */
const CHAT_TOKENS = 9;

interface Study {
  readonly baseline: SuiteFigures;
  readonly lmcache: SuiteFigures;
}

/**
 * `lmcache-ci simulate study mp-test`: mp-test's workloads on two simulated engines in one process and in virtual time.
 * No HTTP, no waiting: the same sizes give the same times to the microsecond. Exit code 0.
 */
export const simulateStudyCommand: Command = {
  async build(parser) {
    const whole = (byDefault: number, describe: string) => ({ type: 'number' as const, default: byDefault, describe });
    return parser
      .usage(
        "$0 simulate study [workload] [options]\n\nRuns mp-test's workloads on simulated engines in virtual time: within seconds, and the same each time.",
      )
      .positional('workload', { type: 'string', choices: ['mp-test'], default: 'mp-test', describe: 'What is run' })
      .option('virtual-time', { type: 'boolean', default: true, describe: 'Time jumps from event to event (always)' })
      .option('profile', { type: 'string', default: 'h200', describe: 'Profile of constants: name or file' })
      .option('model', { type: 'string', default: 'Qwen/Qwen3-14B', describe: 'Model: name or folder' })
      .option('num-documents', whole(30, 'Long-document QA: documents'))
      .option('document-length', whole(10_000, 'Tokens of a document'))
      .option('output-len', whole(200, 'Tokens of an answer'))
      .option('repeat-count', whole(2, 'Queries a document'))
      .option('max-inflight-requests', whole(5, 'Requests at once'))
      .option('num-prompts', whole(50, 'Bench: prompts'))
      .option('random-input-len', whole(10_000, 'Bench: tokens a prompt'))
      .option('limit', whole(300, 'Evaluation: prompts'))
      .option('num-concurrent', whole(50, 'Evaluation: requests at once'))
      .option('json', { type: 'boolean', default: false, describe: 'One JSON object, for a machine' })
      .example('$0 simulate study mp-test', 'minutes of serving in seconds')
      .example('$0 simulate study --profile a100 --model meta-llama/Llama-3.1-8B', 'other hardware, another model')
      .epilogue(describeExitCodes({ 0: 'told' }));
  },
  async run(parsed) {
    if (parsed['virtualTime'] !== true) {
      throw new UsageError(
        'a study has virtual time only; for wall time start servers: lmcache-ci simulate vllm serve',
      );
    }
    const sizes = sizesOf(parsed);
    const { profile, model } = simulatedBy(String(parsed['profile']), String(parsed['model']));
    const startedAt = performance.now();
    const baseline = await runSuiteStudy({ profile, model, engine: 'baseline' }, sizes);
    const lmcache = await runSuiteStudy({ profile, model, engine: 'lmcache' }, sizes);
    const wallSeconds = (performance.now() - startedAt) / 1000;
    if (parsed['json'] === true) {
      const simulated = { profile: profile.name, model: model.name, virtualTime: true };
      process.stdout.write(`${JSON.stringify({ simulated, sizes, baseline, lmcache }, null, 2)}\n`);
      return 0;
    }
    const total = baseline.simulatedSeconds + lmcache.simulatedSeconds;
    const lines = [
      `SIMULATED in virtual time: ${model.name} on ${profile.gpu}, profile "${profile.name}"`,
      tableOf({ baseline, lmcache }),
      `${formatFixed(total, 1)} simulated seconds in ${formatFixed(wallSeconds, 1)} s; digest of all times ${digestOf({ baseline, lmcache })}`,
    ];
    process.stdout.write(`${lines.join('\n\n')}\n`);
    return 0;
  },
};

function simulatedBy(profileName: string, modelName: string) {
  try {
    const profile = loadProfile(profileName);
    return { profile, model: shapeFromFolder(modelName) ?? profile.model(modelName) };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function sizesOf(parsed: Readonly<Record<string, unknown>>): SuiteSizes {
  const size = (name: string): number => {
    const value = parsed[name];
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return value;
    const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${flag} is "${String(value)}"; it must be a whole number of at least 1`);
  };
  return {
    documents: size('numDocuments'),
    documentTokens: size('documentLength') + CHAT_TOKENS,
    outputTokens: size('outputLen'),
    repeats: size('repeatCount'),
    inFlight: size('maxInflightRequests'),
    benchPrompts: size('numPrompts'),
    benchTokens: size('randomInputLen'),
    evalPrompts: size('limit'),
    evalConcurrency: size('numConcurrent'),
  };
}

function tableOf({ baseline, lmcache }: Study): string {
  const row = (name: string, unit: string, read: (figures: SuiteFigures) => number): string[] => {
    const [left, right] = [read(baseline), read(lmcache)];
    const change = left === 0 ? '' : `${formatFixed((right / left - 1) * 100, 1)} %`;
    return [name, `${formatNumber(left)} ${unit}`, `${formatNumber(right)} ${unit}`, change];
  };
  return textTable(
    [
      ['figure', 'baseline', 'LMCache', 'change'],
      row('evaluation, first run', 's', ({ evalSeconds }) => evalSeconds[0]),
      row('evaluation, after a reset', 's', ({ evalSeconds }) => evalSeconds[1]),
      row('  cached', 'tokens', ({ evalCachedTokens }) => evalCachedTokens),
      row('bench throughput', 'tok/s', ({ benchThroughput }) => benchThroughput),
      row('long-doc QA, warm-up round a prompt', 's', ({ warmupRoundTime }) => warmupRoundTime),
      row('long-doc QA, query TTFT', 's', ({ queryTtft }) => queryTtft),
      row('long-doc QA, query round a prompt', 's', ({ queryRoundTime }) => queryRoundTime),
      row('  cached', 'tokens', ({ queryCachedTokens }) => queryCachedTokens),
    ],
    [1, 2, 3],
  );
}

function digestOf({ baseline, lmcache }: Study): string {
  return `${baseline.digest.slice(0, 12)} ${lmcache.digest.slice(0, 12)}`;
}
