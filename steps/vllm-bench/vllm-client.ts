import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { type VllmBenchFile, vllmBenchSchema } from '../../results-schema/vllm-bench.js';
import type { OwnedProcessResult, StepContext } from '../step.js';
import { StepFailure } from '../step-failure.js';
import type { TestTarget } from '../test-targets.js';
import { type BenchClient, type BenchServer, warmUpPrompts, warmUpSeedOffset } from './bench-client.js';
import type { VllmBenchSettingValues } from './settings.js';

type ClientContext = StepContext<VllmBenchSettingValues>;

/** With what `bench serve` needs; several GB, so only where no vllm is at hand. */
const vllmPackage = 'vllm[bench]==0.32.0';
const benchLimitMs = 60 * 60_000;
const evidenceLines = 20;

/** How `vllm` is called, and how a file it wrote is read. */
interface Vllm {
  readonly label: string;
  readonly command: readonly string[];
  readonly directory: string;
  read(file: string): Promise<string>;
  dispose(): Promise<void>;
}

/**
 * The real `vllm bench serve`: the one on PATH, else the one in the engine's own container, else one installed
 * into the virtual environment.
 * @param folder of the results directory, for its files
 */
export async function createVllmClient(
  context: ClientContext,
  seed: number,
  folder: string,
): Promise<BenchClient & { dispose(): Promise<void> }> {
  const { settings, run, results } = context;
  const vllm = await findVllm(context);
  const benchmark = async (
    target: TestTarget,
    server: BenchServer,
    purpose: string,
    prompts: number,
    ownSeed: number,
  ) => {
    const file = `${server}-${purpose}.json`;
    const logPath = results.path('logs', `vllm-bench.${server}.${purpose}.log`);
    const argv = benchArguments({ target, settings, prompts, seed: ownSeed, directory: vllm.directory, file });
    const silence = new SilenceLimit(settings.REQUEST_TIMEOUT_SECONDS, () => noAnswer(server, purpose, logPath));
    const result = await context
      .execute([...vllm.command, 'bench', 'serve', ...argv], {
        timeoutMs: benchLimitMs,
        signal: silence.signal,
        logPath,
        onLine: (line) => {
          silence.hear(line);
          context.progress.update({ task: `${server}, ${purpose}`, figures: line.trim().slice(0, 80) });
        },
      })
      .finally(() => silence.end());
    if (result.exitCode !== 0) {
      throw describeFailure(server, purpose, result, logPath);
    }
    return parseResult(await vllm.read(path.join(vllm.directory, file)), logPath);
  };
  return {
    label: vllm.label,
    note: run.engine === 'sim' ? 'wall time of a simulator, measured by a foreign client' : null,
    warmUp: async (target, server) => {
      await benchmark(target, server, 'warm-up', warmUpPrompts, seed + warmUpSeedOffset);
    },
    measure: async (target, server) => {
      const file = await benchmark(target, server, 'timed', settings.NUM_PROMPTS, seed);
      await results.writeJson(`${folder}/${server}.json`, file);
      const failed = settings.NUM_PROMPTS - file.completed;
      const failures = failed === 0 ? [] : [`${failed} prompts failed; see logs/vllm-bench.${server}.timed.log`];
      return { figures: file, clientOverload: null, failures };
    },
    dispose: () => vllm.dispose(),
  };
}

/**
 * `vllm bench serve` has no time limit of a request. It sends all of them at once, and its progress bar moves with each
 * that is answered: a bar that stands still for that long shows a request that has waited as long (in wall time).
 */
class SilenceLimit {
  readonly #over = new AbortController();
  readonly #limitMs: number;
  readonly #failure: () => Error;
  #timer: NodeJS.Timeout | undefined;

  constructor(limitSeconds: number, failure: () => Error) {
    // Node's timers end at 2^31 - 1 ms.
    this.#limitMs = Math.min(limitSeconds * 1000, 2 ** 31 - 1);
    this.#failure = failure;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** A bar as tqdm draws it: ` 12%|# | 6/50 [00:03<00:21]`. */
  hear(line: string): void {
    const percent = /(\d+)%\|/.exec(line)?.[1];
    if (percent === undefined) return;
    this.end();
    if (Number(percent) < 100) this.#timer = setTimeout(() => this.#over.abort(this.#failure()), this.#limitMs);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

/** The command line of the original suite. */
export function benchArguments(options: {
  readonly target: TestTarget;
  readonly settings: Pick<VllmBenchSettingValues, 'RANDOM_INPUT_LEN' | 'RANDOM_OUTPUT_LEN'> & {
    readonly MODEL_PATH?: string | null;
  };
  readonly prompts: number;
  readonly seed: number;
  readonly directory: string;
  readonly file: string;
}): readonly string[] {
  const { target, settings } = options;
  return [
    ...['--seed', String(options.seed), '--base-url', target.baseUrl, '--model', target.model],
    // A served name says nothing about where its tokenizer lies.
    ...(settings.MODEL_PATH ? ['--tokenizer', settings.MODEL_PATH] : []),
    ...['--dataset-name', 'random', '--random-input-len', String(settings.RANDOM_INPUT_LEN)],
    ...['--random-output-len', String(settings.RANDOM_OUTPUT_LEN), '--num-prompts', String(options.prompts)],
    ...['--ignore-eos', '--backend', 'openai-chat', '--endpoint', '/v1/chat/completions'],
    ...['--result-dir', options.directory, '--result-filename', options.file, '--save-result'],
  ];
}

async function findVllm(context: ClientContext): Promise<Vllm> {
  const { execute, fleet, run } = context;
  const onPath = await execute(['vllm', '--version'], { timeoutMs: 120_000 });
  if (onPath.exitCode === 0) {
    return await hostVllm(context, 'vllm on PATH', ['vllm']);
  }
  const container = fleet.require('vllm').containerName;
  if (run.runtime === 'docker' && run.engine === 'vllm' && container !== null) {
    return containerVllm(context, container);
  }
  const venv = await context.setupVenv(vllmPackage);
  return await hostVllm(context, `${vllmPackage} in "${venv.directory}"`, [
    path.join(path.dirname(venv.python), 'vllm'),
  ]);
}

async function hostVllm(context: ClientContext, label: string, command: readonly string[]): Promise<Vllm> {
  const directory = await context.temporaryDirectory('bench');
  return {
    label,
    command,
    directory,
    read: (file) => readFile(file, 'utf8'),
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
}

/** The container shares the host's network, but not its files; what is written there goes with it. */
function containerVllm({ execute }: ClientContext, container: string): Vllm {
  const inside = ['docker', 'exec', container];
  return {
    label: `vllm in the container "${container}"`,
    command: [...inside, 'vllm'],
    directory: '/tmp/lmcache-ci-bench',
    read: async (file) => (await execute([...inside, 'cat', file], { timeoutMs: 30_000 })).stdout,
    dispose: () => Promise.resolve(),
  };
}

function parseResult(text: string, logPath: string): VllmBenchFile {
  try {
    return vllmBenchSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new StepFailure(`"vllm bench serve" left no result that could be read; see "${logPath}".`, {
      reason: 'unknown',
      failureCause: 'exception',
      evidence: [String(error).slice(0, 1000)],
      cause: error,
    });
  }
}

function noAnswer(server: BenchServer, purpose: string, logPath: string): StepFailure {
  return new StepFailure(
    `"vllm bench serve" (${server}, ${purpose}): no open request was answered for REQUEST_TIMEOUT_SECONDS; see "${logPath}".`,
    { reason: 'unknown', failureCause: 'timeout' },
  );
}

function describeFailure(
  server: BenchServer,
  purpose: string,
  result: OwnedProcessResult,
  logPath: string,
): StepFailure {
  const how = result.timedOut ? `took longer than ${benchLimitMs / 60_000} minutes` : `ended with ${result.exitCode}`;
  return new StepFailure(`"vllm bench serve" (${server}, ${purpose}) ${how}; see "${logPath}".`, {
    reason: result.timedOut ? 'infrastructure' : 'unknown',
    failureCause: result.timedOut ? 'timeout' : 'exception',
    evidence: `${result.stdout}\n${result.stderr}`
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-evidenceLines),
  });
}
