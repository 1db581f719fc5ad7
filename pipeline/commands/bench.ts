import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { findLocalTokenizer } from '../../workloads/bench/local-tokenizer.js';
import type { BenchServeOptions, BenchServeResult } from '../../workloads/bench/options.js';
import { benchServeJsonPieces } from '../../workloads/bench/result-json.js';
import { formatBenchTable } from '../../workloads/bench/result-table.js';
import { prepareBenchServe, runBenchServe } from '../../workloads/bench-serve.js';
import { parseEndpoint } from '../../workloads/endpoint.js';
import { multiRoundQaUsers } from '../../workloads/multi-round-qa-plan.js';
import { pythonFloat } from '../../workloads/python-format.js';
import type { RequestRecord } from '../../workloads/request.js';
import { isHealthy, listModels, ServerAnswerError, ServerUnreachableError } from '../../workloads/server-api.js';
import type { Target } from '../../workloads/target.js';
import type { Command } from '../cli.js';
import { describeExitCodes } from '../exit-codes.js';
import { InterruptedError, listenForInterruption } from '../interruption.js';
import { NoVerdictError, UsageError } from '../usage-error.js';
import { addBenchFlags, BenchFlags } from './bench-flags.js';
import { readBenchOptions } from './bench-options.js';
import { BenchProgress } from './bench-progress.js';
import { RequestLog } from './bench-request-log.js';
import { appendLine, resultFile, writeWhole } from './bench-result-file.js';
import { benchVerdict } from './bench-verdict.js';
import { FlagProblems } from './flag-problems.js';
import { checkInputFile } from './input-path.js';
import { checkOutputFile, checkOutputFolder } from './output-path.js';

const readyPollMs = 500;
/** Making prompts would grow it to 48 MiB for good: 10 to 25 MiB of the peak, and no time is won by it. */
const keepYoungGenerationSmall = '--semi-space-growth-factor=1';

/** `lmcache-ci bench`: the measuring client alone, with the flags, the table and the file of `vllm bench serve`. */
export const benchCommand: Command = {
  async build(parser) {
    return addBenchFlags(parser)
      .usage(
        '$0 bench [options]\n\nSends a load to an OpenAI-compatible server and measures it: the flags, prompts, table and result file of `vllm bench serve`.',
      )
      .example('$0 bench --model Qwen/Qwen3-14B --num-prompts 50 --random-input-len 10000', 'all at once, port 8000')
      .example('$0 bench --backend openai-chat --request-rate 10 --save-result', 'Poisson arrivals, result file')
      .example('$0 bench --max-concurrency 64 --goodput ttft:200 tpot:50', 'closed loop, service levels in ms')
      .example('$0 bench --dataset-name sharegpt --dataset-path sharegpt.json', 'recorded questions')
      .example(
        '$0 bench --dataset-name timed_trace --dataset-path mooncake.jsonl --timed-trace-chunk-hash-size 512 --timed-trace-sec-multiplier 0.001',
        'a Mooncake trace at its own times',
      )
      .example('$0 bench --request-rate 15000 --num-prompts 900000 --workers auto', 'more than one thread can send')
      .example(
        '$0 bench --dataset-name long-doc-qa --num-documents 30 --document-length 10000',
        'documents, asked again',
      )
      .epilogue(
        describeExitCodes({
          0: 'all answered',
          1: 'requests failed',
          3: 'no verdict: unreachable, nothing succeeded, or this client was too slow to judge',
          interrupted: 'the result is written as far as it goes',
        }),
      );
  },

  async check(parsed) {
    readFlags(parsed);
  },

  async run(parsed) {
    const { flags, options, baseUrl } = readFlags(parsed);
    if (flags.isOn('insecure')) process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    checkFiles(flags, options);
    const progress = new BenchProgress(process.stderr, options);
    const interruption = listenForInterruption((_, first) => {
      progress.end();
      if (first) process.stderr.write('Interrupted: ending what is in flight.\n');
    });
    try {
      const result = await measure(flags, options, baseUrl, progress, interruption.signal);
      return await conclude(flags, options, result, interruption.interruptedBy());
    } catch (error) {
      progress.end();
      if (error instanceof InterruptedError) return interruptExitCodes[error.signalName];
      // Flags that do not fit together, or a data set that is not what it should be.
      if (error instanceof RangeError || error instanceof TypeError) throw new UsageError(error.message);
      if (error instanceof ServerUnreachableError || error instanceof ServerAnswerError) {
        const where = 'Is a server up there? --base-url, or --host and --port, say where it is';
        const mend = `${where}; --ready-check-timeout-sec waits for one that starts.`;
        throw new NoVerdictError(error instanceof ServerUnreachableError ? `${error.message} ${mend}` : error.message);
      }
      throw error;
    } finally {
      interruption.dispose();
    }
  },
};

/** @throws UsageError with all that is wrong with the flags */
function readFlags(parsed: Readonly<Record<string, unknown>>) {
  const problems = new FlagProblems();
  const flags = new BenchFlags(parsed, problems);
  const options = readBenchOptions(flags, problems);
  const baseUrl = problems.read(() => readBaseUrl(flags), '');
  problems.throwIfAny();
  return { flags, options, baseUrl };
}

async function measure(
  flags: BenchFlags,
  options: BenchServeOptions,
  baseUrl: string,
  progress: BenchProgress,
  signal: AbortSignal,
): Promise<BenchServeResult> {
  const apiKey = process.env['OPENAI_API_KEY'];
  const server = { baseUrl, ...(apiKey ? { apiKey } : {}) };
  await waitUntilReady({ ...server, model: '' }, flags.count('ready-check-timeout-sec') ?? 0, signal);
  const modelId = flags.text('model') ?? (await firstModel({ ...server, model: '' }, signal));
  const target: Target = { ...server, model: flags.text('served-model-name') ?? modelId };
  const tokenizerId = flags.text('tokenizer') ?? modelId;
  const tokenizer = await localTokenizer(tokenizerId);
  const running = {
    ...options,
    modelId,
    tokenizerId,
    ...(tokenizer === null ? {} : { tokenizerDirectory: tokenizer }),
    signal,
    keepTexts: false,
    ...(flags.isOn('disable-tqdm') ? {} : { onProgress: progress.update.bind(progress) }),
  };
  setFlagsFromString(keepYoungGenerationSmall);
  const plan = await prepareBenchServe(target, running);
  if (plan === null) throw new UsageError(`There is no tokenizer for "${tokenizerId}".`);
  const logPath = flags.text('request-log');
  const log = logPath === undefined ? null : await RequestLog.create(logPath);
  process.stdout.write(describeTraffic(options));
  try {
    const onRecord = (record: RequestRecord): void => {
      log?.add(record);
      if (!flags.isOn('disable-tqdm')) progress.record(record);
    };
    return await runBenchServe(target, { ...running, plan, onRecord });
  } finally {
    await log?.close();
  }
}

async function conclude(
  flags: BenchFlags,
  options: BenchServeOptions,
  result: BenchServeResult,
  interruptedBy: keyof typeof interruptExitCodes | null,
): Promise<number> {
  const { json } = result;
  process.stdout.write(formatBenchTable(json, options.percentiles ?? [99]));
  const file = resultFile(flags, options, json);
  if (file !== null) {
    await (flags.isOn('append-result') ? appendLine : writeWhole)(file, benchServeJsonPieces(json));
    process.stderr.write(`Result file: ${file}\n`);
  }
  const table = flags.text('output');
  if (table !== undefined && options.dataset?.name === 'multi-round-qa') {
    const { multiRoundQaCsv } = await import('../../workloads/multi-round-qa-csv.js');
    await writeWhole(table, [multiRoundQaCsv(result.records, result.turns, multiRoundQaUsers(options.dataset))]);
  }
  const verdict = benchVerdict(result, interruptedBy);
  process.stderr.write(`${verdict.lines.join('\n')}\n`);
  return verdict.exitCode;
}

/** Before any server is asked. @throws UsageError for a data set that cannot be read, and results that cannot be kept */
function checkFiles(flags: BenchFlags, { dataset }: BenchServeOptions): void {
  if (dataset !== undefined && 'path' in dataset) checkInputFile('--dataset-path', dataset.path);
  const directory = flags.text('result-dir');
  if (directory !== undefined) checkOutputFolder('--result-dir', directory);
  if (flags.isOn('save-result') || flags.isOn('append-result')) {
    const name = flags.text('result-filename');
    if (name !== undefined) checkOutputFile('--result-filename', path.join(directory ?? '', name));
    else checkOutputFolder('--result-dir', directory ?? '.');
  }
  for (const name of ['request-log', 'output']) {
    const file = flags.text(name);
    if (file !== undefined) checkOutputFile(`--${name}`, file);
  }
}

function readBaseUrl(flags: BenchFlags): string {
  const host = flags.text('host') ?? '127.0.0.1';
  const port = flags.count('port', 1) ?? 8000;
  const url = flags.text('base-url') ?? `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  try {
    parseEndpoint(url);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  return url;
}

async function waitUntilReady(target: Target, limitSeconds: number, signal: AbortSignal): Promise<void> {
  if (limitSeconds === 0) return;
  const giveUpAt = performance.now() + limitSeconds * 1000;
  while (!(await isHealthy(target, signal))) {
    if (performance.now() >= giveUpAt) {
      throw new ServerUnreachableError(`${target.baseUrl}/health is not 200 after ${limitSeconds} s.`);
    }
    await sleep(readyPollMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function firstModel(target: Target, signal: AbortSignal): Promise<string> {
  const [first] = await listModels(target, signal);
  if (first === undefined) throw new ServerAnswerError(`${target.baseUrl} serves no model: give --model.`, 200);
  return first.id;
}

/** A file, a directory, or a model in the Hugging Face cache; null: the server has to help. */
async function localTokenizer(tokenizerId: string): Promise<string | null> {
  const isFile = await stat(tokenizerId).then(
    (entry) => entry.isFile(),
    () => false,
  );
  return isFile ? tokenizerId : findLocalTokenizer(tokenizerId);
}

/** The lines that `vllm bench serve` prints ahead of its table. */
function describeTraffic(options: BenchServeOptions): string {
  const { dataset, rampUp, burstiness = 1, requestRate = Number.POSITIVE_INFINITY } = options;
  const lines = ['Starting main benchmark run...'];
  if (dataset?.name === 'multi-round-qa') {
    lines.push(
      `Conversations: ${dataset.numUsers} users at once, ${dataset.numRounds} rounds, ${dataset.qps} requests a second, ${dataset.timeSeconds} s.`,
    );
  } else if (dataset?.name === 'timed_trace' && (dataset.selfTimed ?? true)) {
    lines.push('Self timing is set, using the timestamps from the trace file.');
  } else {
    lines.push(
      ...(rampUp === undefined
        ? [`Traffic request rate: ${pythonFloat(requestRate)}`]
        : [
            `Traffic ramp-up strategy: ${rampUp.strategy}.`,
            `Will increase RPS from ${rampUp.startRps} to ${rampUp.endRps} RPS over the duration of the benchmark.`,
          ]),
      `Burstiness factor: ${pythonFloat(burstiness)} (${burstiness === 1 ? 'Poisson process' : 'Gamma distribution'})`,
      `Maximum request concurrency: ${options.maxConcurrency ?? 'None'}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
