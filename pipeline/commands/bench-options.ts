import type { RampUp } from '../../workloads/bench/arrivals.js';
import type {
  BenchBackend,
  BenchDataset,
  BenchMetric,
  BenchServeOptions,
  GoodputLevels,
} from '../../workloads/bench/options.js';
import { countMultiRoundQaRequests } from '../../workloads/multi-round-qa-plan.js';
import { UsageError } from '../usage-error.js';
import { type BenchFlags, checkedNumber } from './bench-flags.js';
import type { FlagProblems } from './flag-problems.js';

const backends = ['openai', 'openai-chat', 'vllm'] as const satisfies readonly BenchBackend[];
const metrics = [
  'ttft',
  'tpot',
  'itl',
  'e2el',
  'client_queue_time',
  'e2el_including_client_queue',
] as const satisfies readonly BenchMetric[];
const repeatModes = ['random', 'tile', 'interleave'] as const;
const samplingFlags = [
  'top-p',
  'top-k',
  'min-p',
  'temperature',
  'frequency-penalty',
  'presence-penalty',
  'repetition-penalty',
];

/**
 * The options of a run, all but model and tokenizer, which a server may have to tell.
 * @param flags of the same `problems`, which take all that is wrong
 */
export function readBenchOptions(flags: BenchFlags, problems: FlagProblems): BenchServeOptions {
  const backend = flags.choice('backend', backends) ?? 'openai';
  const dataset = problems.read<BenchDataset>(() => readDataset(flags, backend), { name: 'random' });
  const rampUp = problems.read(() => readRampUp(flags), null);
  const ignoreEos = dataset.name === 'random' || dataset.name === 'timed_trace' || flags.isOn('ignore-eos');
  return {
    backend,
    dataset,
    numPrompts: promptCount(flags, dataset),
    randomInputLen: flags.count('input-len') ?? flags.count('random-input-len') ?? 1024,
    randomOutputLen: flags.count('output-len') ?? flags.count('random-output-len') ?? 128,
    randomRangeRatio: problems.read(() => readRangeRatio(flags), { input: 0, output: 0 }),
    randomPrefixLen: flags.count('random-prefix-len') ?? 0,
    seed: flags.count('seed') ?? 0,
    requestRate:
      dataset.name === 'multi-round-qa'
        ? dataset.qps
        : (flags.number('request-rate', { above: 0 }) ?? Number.POSITIVE_INFINITY),
    burstiness: flags.number('burstiness', { above: 0 }) ?? 1,
    ...(rampUp === null ? {} : { rampUp }),
    maxConcurrency: flags.count('max-concurrency', 1) ?? null,
    workers: flags.text('workers') === 'auto' ? 'auto' : (flags.count('workers', 1) ?? 'auto'),
    numWarmups: flags.count('num-warmups') ?? 0,
    ignoreEos,
    extraBody: { ...readSampling(flags), ...flags.object('extra-body') },
    logprobs: flags.count('logprobs') ?? null,
    headers: flags.pairs('header', '=', 'x-team=cache'),
    metadata: flags.pairs('metadata', '=', 'version=0.3.3'),
    label: flags.text('label') ?? null,
    goodput: problems.read(() => readGoodput(flags), {}),
    percentiles: flags.numbers('metric-percentiles', { min: 0, max: 100 }) ?? [99],
    percentileMetrics: problems.read(() => readMetrics(flags), []),
    saveDetailed: flags.isOn('save-detailed'),
    alignToServer: dataset.name === 'random' || dataset.name === 'prefix_repetition',
    ...optional('endpointPath', flags.text('endpoint')),
    ...optional('requestIdPrefix', flags.text('request-id-prefix')),
    ...optional('abortOnFailureRate', flags.number('abort-on-failure-rate', { min: 0, max: 1 })),
  };
}

function readDataset(flags: BenchFlags, backend: BenchBackend): BenchDataset {
  const name = flags.text('dataset-name') ?? 'random';
  const outputLen = (flag: string, min = 0): { outputLen?: number } =>
    optional('outputLen', flags.count('output-len') ?? flags.count(flag, min));
  const path = (): string => flags.requiredText('dataset-path', `${name} is read from a file`);
  const shuffle = !flags.isOn('disable-shuffle');
  const oversample = !flags.isOff('oversample');
  if (
    ['random', 'prefix_repetition', 'long-doc-qa', 'multi-round-qa'].includes(name) &&
    flags.text('dataset-path') !== undefined
  ) {
    throw new UsageError(`--dataset-path "${flags.text('dataset-path')}" does not go with --dataset-name ${name}.`);
  }
  if (name !== 'timed_trace' && (flags.isOn('self-timed') || flags.isOff('self-timed'))) {
    throw new UsageError('--self-timed goes with --dataset-name timed_trace only.');
  }
  switch (name) {
    case 'sharegpt':
      return { name, path: path(), shuffle, oversample, ...outputLen('sharegpt-output-len') };
    case 'custom':
      return {
        name,
        path: path(),
        shuffle,
        oversample,
        ...outputLen('custom-output-len', -1),
        chatTemplate: !flags.isOn('skip-chat-template'),
        ...optional('chatTemplateKwargs', flags.object('chat-template-kwargs')),
      };
    case 'prefix_repetition':
      return {
        name,
        shuffle,
        ...outputLen('prefix-repetition-output-len'),
        ...optional('prefixLen', flags.count('prefix-repetition-prefix-len')),
        ...optional('suffixLen', flags.count('prefix-repetition-suffix-len')),
        ...optional('numPrefixes', flags.count('prefix-repetition-num-prefixes', 1)),
      };
    case 'timed_trace':
      if (backend === 'openai-chat') {
        throw new UsageError('--dataset-name timed_trace sends token ids: it needs --backend openai or vllm.');
      }
      return {
        name,
        path: path(),
        selfTimed: !flags.isOff('self-timed'),
        ...optional('chunkHashSize', flags.count('timed-trace-chunk-hash-size', 1)),
        ...optional('secMultiplier', flags.number('timed-trace-sec-multiplier', { above: 0 })),
        ...optional('timestampLabel', flags.text('timed-trace-label-timestamp')),
        ...optional('inputLengthLabel', flags.text('timed-trace-label-input-length')),
        ...optional('outputLengthLabel', flags.text('timed-trace-label-output-length')),
        ...optional('hashIdsLabel', flags.text('timed-trace-label-hash-ids')),
      };
    case 'long-doc-qa':
      return {
        name,
        shuffleSeed: flags.count('seed') ?? 0,
        ...optional('documentLength', flags.count('document-length', 1)),
        ...optional('numDocuments', flags.count('num-documents', 1)),
        ...optional('repeatCount', flags.count('repeat-count', 1)),
        ...optional('repeatMode', flags.choice('repeat-mode', repeatModes)),
        ...optional('outputLen', flags.count('output-len', 1)),
      };
    case 'multi-round-qa':
      if (backend !== 'openai-chat') {
        throw new UsageError('--dataset-name multi-round-qa holds conversations: it needs --backend openai-chat.');
      }
      return {
        name,
        numUsers: flags.count('num-users', 1) ?? 10,
        numRounds: flags.count('num-rounds', 1) ?? 5,
        qps: finite(flags, 'qps') ?? 1,
        sharedSystemPrompt: flags.count('shared-system-prompt') ?? 1000,
        userHistoryPrompt: flags.count('user-history-prompt') ?? 2000,
        answerLen: flags.count('answer-len', 1) ?? 100,
        timeSeconds: finite(flags, 'time') ?? 100,
        initUserId: flags.count('init-user-id') ?? 0,
      };
    default:
      return { name: 'random' };
  }
}

/** A number above 0 that has an end. */
function finite(flags: BenchFlags, name: string): number | undefined {
  return flags.number(name, { above: 0, below: Number.POSITIVE_INFINITY });
}

function promptCount(flags: BenchFlags, dataset: BenchDataset): number {
  if (dataset.name === 'long-doc-qa') {
    return (dataset.numDocuments ?? 8) * (dataset.repeatCount ?? 2);
  }
  if (dataset.name === 'multi-round-qa') {
    return countMultiRoundQaRequests(dataset);
  }
  return flags.count('num-prompts', dataset.name === 'custom' ? 0 : 1) ?? 1000;
}

function readRangeRatio(flags: BenchFlags): { input: number; output: number } {
  const name = 'random-range-ratio';
  const ratio = (what: string, text: string): number => checkedNumber(what, text, { min: 0, below: 1 });
  if (flags.text(name)?.trim().startsWith('{')) {
    const both = flags.object(name);
    const of = (side: string): number => ratio(`"${side}" of --${name}`, String(both?.[side] ?? ''));
    return { input: of('input'), output: of('output') };
  }
  const one = ratio(`--${name}`, flags.text(name) ?? '0');
  return { input: one, output: one };
}

function readRampUp(flags: BenchFlags): RampUp | null {
  const strategy = flags.choice('ramp-up-strategy', ['linear', 'exponential']);
  const startRps = flags.count('ramp-up-start-rps', 1);
  const endRps = flags.count('ramp-up-end-rps', 1);
  const isMissing = (name: string): boolean => flags.text(name) === undefined;
  if (strategy === undefined) {
    if (isMissing('ramp-up-start-rps') && isMissing('ramp-up-end-rps')) return null;
    throw new UsageError('--ramp-up-start-rps and --ramp-up-end-rps need --ramp-up-strategy linear or exponential.');
  }
  if (flags.number('request-rate') !== undefined && flags.number('request-rate') !== Number.POSITIVE_INFINITY) {
    throw new UsageError('--request-rate and --ramp-up-strategy exclude each other: the ramp sets the rate.');
  }
  if (isMissing('ramp-up-start-rps') || isMissing('ramp-up-end-rps')) {
    throw new UsageError('--ramp-up-strategy needs --ramp-up-start-rps and --ramp-up-end-rps.');
  }
  if (startRps === undefined || endRps === undefined) return null;
  if (startRps > endRps) {
    throw new UsageError(`--ramp-up-start-rps ${startRps} is above --ramp-up-end-rps ${endRps}.`);
  }
  return { strategy, startRps, endRps };
}

function readSampling(flags: BenchFlags): Record<string, number> {
  return Object.fromEntries(
    samplingFlags.flatMap((name) => {
      const value = flags.number(name, { above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY });
      return value === undefined ? [] : [[name.replace('-', '_'), value]];
    }),
  );
}

function readGoodput(flags: BenchFlags): GoodputLevels {
  const levels: { -readonly [Level in keyof GoodputLevels]: number } = {};
  for (const [name, text] of Object.entries(flags.pairs('goodput', ':', 'ttft:200'))) {
    if (name !== 'ttft' && name !== 'tpot' && name !== 'e2el') {
      throw new UsageError(`--goodput knows ttft, tpot and e2el, not "${name}".`);
    }
    levels[name] = checkedNumber(`--goodput ${name}`, text, { min: 0 });
  }
  return levels;
}

function readMetrics(flags: BenchFlags): readonly BenchMetric[] {
  return (flags.text('percentile-metrics') ?? 'ttft,tpot,itl').split(',').map((text) => {
    const metric = metrics.find((name) => name === text.trim());
    if (metric === undefined) {
      throw new UsageError(`--percentile-metrics knows ${metrics.join(', ')}, not "${text}".`);
    }
    return metric;
  });
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  const entry: { [Key in Name]?: Value } = {};
  if (value !== undefined) entry[name] = value;
  return entry;
}
