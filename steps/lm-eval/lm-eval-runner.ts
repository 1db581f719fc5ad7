import { copyFile, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { makeFolder } from '../../results-schema/make-folder.js';
import type { StepContext } from '../step.js';
import { StepFailure } from '../step-failure.js';
import type { ChosenTask } from './choose-task.js';
import { type LmEvalDriver, startDriver } from './driver.js';
import { localTaskName } from './local-task.js';
import { lmEvalPackages, lmEvalVersion } from './packages.js';
import type { LmEvalSettingValues } from './settings.js';
import type { TaskPass, TaskRunner } from './task-run.js';

type RunnerContext = Pick<
  StepContext<LmEvalSettingValues>,
  'settings' | 'results' | 'progress' | 'signal' | 'setupVenv' | 'execute' | 'temporaryDirectory'
>;

const watchPauseMs = 500;
/** tqdm's line: `Requesting API:  51%|... | 153/300 [00:01<...`. */
const requestProgress = /Requesting API:[^\r\n]*?\| (\d+)\/(\d+) \[/g;

/**
 * The real lm_eval, in the virtual environment. Python is started here and imports while the caller goes on.
 * @throws StepFailure when there is no Python or the packages cannot be had
 */
export async function startLmEvalRunner(context: RunnerContext, task: ChosenTask): Promise<TaskRunner> {
  const { results, signal, execute, settings } = context;
  const venv = await context.setupVenv(...lmEvalPackages);
  const driver = await startDriver({
    venv,
    execute,
    signal,
    environment: {
      TOKENIZERS_PARALLELISM: 'false',
      ...(settings.HF_HOME === null ? {} : { HF_HOME: settings.HF_HOME }),
      ...(task.offline ? { HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1' } : {}),
    },
    keepDatasets: task.name !== localTaskName,
    workingDirectory: results.root,
    directory: await context.temporaryDirectory('lm-eval'),
    logPath: results.path('logs', 'lm-eval.python.log'),
  });
  return {
    label: `lm_eval ${lmEvalVersion}`,
    task: task.name,
    run: (pass) => runPass(context, task, driver, pass),
    close: () => driver.close(),
  };
}

/** The command line of the original suite, with a tokenizer back end that needs no transformers. */
export function lmEvalArguments(options: {
  readonly task: ChosenTask['name'];
  readonly taskDirectory: string;
  readonly model: string;
  readonly baseUrl: string;
  readonly concurrency: number;
  readonly limit: number;
  readonly outputPath: string;
  readonly requestTimeoutSeconds: number;
}): readonly string[] {
  const modelArguments = {
    model: options.model,
    base_url: `${options.baseUrl}/v1/completions`,
    num_concurrent: options.concurrency,
    max_retries: 3,
    timeout: options.requestTimeoutSeconds,
    tokenizer_backend: 'None',
    tokenized_requests: 'False',
  };
  return [
    ...['--model', 'local-completions', '--tasks', options.task],
    ...(options.task === localTaskName ? ['--include_path', options.taskDirectory] : []),
    ...['--model_args', modelArgumentsText(modelArguments), '--batch_size', '1', '--limit', String(options.limit)],
    ...['--seed', '0', '--log_samples', '--output_path', options.outputPath],
    ...['--gen_kwargs', '{"temperature": 0.0}'],
  ];
}

/** `a=1,b=2`, or JSON, which lm_eval reads as well, where a comma or an equals sign of a value would end it. */
function modelArgumentsText(values: Readonly<Record<string, string | number>>): string {
  const pairs = Object.entries(values);
  if (pairs.every(([, value]) => /^[\w.:/-]*$/.test(String(value)))) {
    return pairs.map(([name, value]) => `${name}=${value}`).join(',');
  }
  return JSON.stringify({ ...values, tokenized_requests: false });
}

async function runPass(
  context: RunnerContext,
  task: ChosenTask,
  driver: LmEvalDriver,
  { pass, target }: TaskPass,
): Promise<string> {
  const { settings, results, progress } = context;
  const directory = results.path('lm_eval', pass);
  // A step that runs again must not find the samples of the last time.
  await rm(directory, { recursive: true, force: true });
  const logPath = results.path('logs', `lm-eval.${pass}.log`);
  makeFolder(path.dirname(logPath));
  await rm(logPath, { force: true });
  const watch = setInterval(() => void showProgress(logPath, pass, progress), watchPauseMs);
  let exitCode: number;
  try {
    const argv = lmEvalArguments({
      task: task.name,
      taskDirectory: results.path('lm_eval', 'task'),
      model: target.model,
      baseUrl: target.baseUrl,
      concurrency: settings.NUM_CONCURRENT,
      limit: settings.LIMIT,
      outputPath: directory,
      requestTimeoutSeconds: settings.REQUEST_TIMEOUT_SECONDS,
    });
    exitCode = await driver.run(argv, logPath);
  } finally {
    clearInterval(watch);
  }
  const log = await readFile(logPath, 'utf8').catch(() => '');
  if (exitCode !== 0) throw describeLmEvalFailure(pass, exitCode, logPath, log);
  const retries = describeRetries(pass, logPath, log);
  if (retries !== null) progress.warn(retries);
  return await copySamplesUp(directory, task.name, logPath);
}

/** lm_eval writes into `<pass>/<model>/`; consumers of the original suite look into `<pass>/` itself. */
async function copySamplesUp(directory: string, task: string, logPath: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true }).catch((): string[] => []);
  const found = entries.find((entry) => path.basename(entry).startsWith(`samples_${task}_`));
  if (found === undefined) {
    throw new StepFailure(`lm_eval wrote no samples_${task}_*.jsonl below "${directory}"; see "${logPath}".`, {
      reason: 'unknown',
      failureCause: 'exception',
    });
  }
  const samples = path.join(directory, path.basename(found));
  await copyFile(path.join(directory, found), samples);
  return samples;
}

async function showProgress(logPath: string, pass: string, progress: StepContext<unknown>['progress']): Promise<void> {
  const tail = await readTail(logPath, 4096);
  const last = [...tail.matchAll(requestProgress)].at(-1);
  progress.update({
    task: `lm_eval ${pass}`,
    ...(last === undefined ? {} : { done: Number(last[1]), total: Number(last[2]) }),
  });
}

async function readTail(file: string, bytes: number): Promise<string> {
  try {
    await using handle = await open(file);
    const { size } = await handle.stat();
    const start = Math.max(0, size - bytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  }
}

/** lm_eval sends a failed request up to twice more, and says so in its log alone; null where all were answered at once. */
function describeRetries(pass: string, logPath: string, log: string): string | null {
  const lines = log.split(/[\r\n]+/);
  const retried = lines.filter((line) => /\bRetry attempt \d/.test(line)).length;
  if (retried === 0) return null;
  const first = /(?:API request failed! |Exception:).*/.exec(log)?.[0].slice(0, 200) ?? 'for a reason it does not tell';
  return `lm_eval (${pass}) sent ${retried} requests again, the first after: ${first}; see "${logPath}".`;
}

/** Who is to blame when lm_eval ended with an error, by the exception at the end of its log. */
export function describeLmEvalFailure(pass: string, exitCode: number, logPath: string, log: string): StepFailure {
  const lines = log.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  // What the server said stands far above the end of the traceback.
  const answers = lines.filter((line) => /API request failed/.test(line)).slice(0, 3);
  const evidence = [...answers, ...lines.slice(-20)];
  // The exception that ended it; earlier ones were retried.
  const last = lines.slice(-3).join('\n');
  const message = `lm_eval (${pass}) ended with exit code ${exitCode}; see "${logPath}".`;
  if (/ClientResponseError|API request failed/.test(last)) {
    return new StepFailure(message, { reason: 'regression', failureCause: 'request-failed', evidence });
  }
  if (/^(?:\w+\.)*(?:TimeoutError|ReadTimeout|ServerTimeoutError)\b/m.test(last)) {
    return new StepFailure(`${message} A request had no answer within REQUEST_TIMEOUT_SECONDS.`, {
      reason: 'unknown',
      failureCause: 'timeout',
      evidence,
    });
  }
  if (/ClientConnector|Cannot connect to host|Connection refused|ServerDisconnected|Connection reset/.test(last)) {
    return new StepFailure(message, { reason: 'infrastructure', failureCause: 'engine-unreachable', evidence });
  }
  if (
    /Couldn't reach|LocalEntryNotFoundError|OfflineModeIsEnabled|HfHubHTTPError|host='huggingface\.co'|Temporary failure in name resolution/.test(
      last,
    )
  ) {
    return new StepFailure(`${message} The data set could not be had.`, {
      reason: 'infrastructure',
      failureCause: 'tool-missing',
      evidence,
    });
  }
  return new StepFailure(message, { reason: 'unknown', failureCause: 'exception', evidence });
}
