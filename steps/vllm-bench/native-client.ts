import { setTimeout as delay } from 'node:timers/promises';
import type { BenchPlan, BenchServeOptions } from '../../workloads/bench/options.js';
import { formatBenchServeJson } from '../../workloads/bench/result-json.js';
import { prepareBenchServe, replayPrompts, runBenchServe } from '../../workloads/bench-serve.js';
import { describeOutcome } from '../../workloads/request.js';
import { isHealthy } from '../../workloads/server-api.js';
import type { StepContext } from '../step.js';
import { StepFailure } from '../step-failure.js';
import type { TestTarget } from '../test-targets.js';
import { showWorkload } from '../workload-progress.js';
import { type BenchClient, warmUpPrompts } from './bench-client.js';
import type { VllmBenchSettingValues } from './settings.js';

type ClientContext = Pick<StepContext<VllmBenchSettingValues>, 'settings' | 'results' | 'progress' | 'signal'>;

const shownFailures = 5;
const healthPollMs = 100;

/** What `vllm bench serve` of the original suite is called with. */
export function benchOptions(
  settings: VllmBenchSettingValues,
  seed: number,
  files: { readonly HF_HOME: string | null; readonly MODEL_PATH: string | null },
): BenchServeOptions {
  return {
    backend: 'openai-chat',
    numPrompts: settings.NUM_PROMPTS,
    randomInputLen: settings.RANDOM_INPUT_LEN,
    randomOutputLen: settings.RANDOM_OUTPUT_LEN,
    numWarmups: warmUpPrompts,
    seed,
    ...(files.HF_HOME === null ? {} : { hfHome: files.HF_HOME }),
    ...(files.MODEL_PATH === null ? {} : { tokenizerDirectory: files.MODEL_PATH }),
  };
}

/**
 * Makes the prompts while the engines start: at once where the model's tokenizer is on this machine, else with the
 * baseline's, as soon as that one serves.
 * @returns null where neither is to be had in time
 */
export async function preparePlan(
  context: ClientContext & Pick<StepContext<unknown>, 'fleet' | 'run'>,
  seed: number,
): Promise<BenchPlan | null> {
  const { settings, signal } = context;
  const { MODEL: model } = settings;
  const options = { ...benchOptions(settings, seed, settings), signal };
  const plan = await prepareBenchServe({ model }, options);
  if (plan !== null) return plan;
  const baseUrl = await untilBaselineServes(context);
  return baseUrl === null ? null : await prepareBenchServe({ baseUrl, model }, options);
}

async function untilBaselineServes({
  fleet,
  run,
  settings,
  signal,
}: Pick<StepContext<unknown>, 'fleet' | 'run' | 'settings' | 'signal'>): Promise<string | null> {
  const giveUpAt = performance.now() + settings.MAX_WAIT_SECONDS * 1000;
  while (performance.now() < giveUpAt) {
    const endpoint = fleet.find('baseline');
    if (endpoint === null && run.runtime === 'external') return null;
    if (endpoint !== null && (await isHealthy({ baseUrl: endpoint.baseUrl, model: settings.MODEL }, signal))) {
      return endpoint.baseUrl;
    }
    await delay(healthPollMs, undefined, { signal });
  }
  return null;
}

/** The prompts of a seed, made with local tokenizer files or the tokenizer of `server`. */
export async function makePlan(context: ClientContext, seed: number, server: TestTarget): Promise<BenchPlan> {
  const { settings, progress, signal } = context;
  const options = { ...benchOptions(settings, seed, settings), signal };
  const plan = await prepareBenchServe(server, { ...options, onProgress: showWorkload(progress, 'prompts') });
  if (plan === null) {
    throw new StepFailure(`There is no tokenizer for "${settings.MODEL}": neither local files nor the server's own.`, {
      reason: 'configuration',
      failureCause: 'tool-missing',
    });
  }
  return plan;
}

/** Our own client. @param folder of the results directory, for its files */
export function createNativeClient(context: ClientContext, seed: number, plan: BenchPlan, folder: string): BenchClient {
  const { settings, results, progress, signal } = context;
  const requestTimeoutSeconds = settings.REQUEST_TIMEOUT_SECONDS;
  const options = { ...benchOptions(settings, seed, settings), signal, requestTimeoutSeconds };
  return {
    label: 'native client',
    note: null,
    warmUp: async (target) => {
      await replayPrompts(target, plan.warmupPrompts, { signal, requestTimeoutSeconds });
      signal.throwIfAborted();
    },
    measure: async (target, name) => {
      const onProgress = showWorkload(progress, name);
      const timed = { ...plan, warmupPrompts: [] };
      const result = await runBenchServe(target, { ...options, plan: timed, onProgress });
      signal.throwIfAborted();
      // Numbers as Python writes them: a reader cannot tell the file from vLLM's own.
      await results.writeText(`${folder}/${name}.json`, formatBenchServeJson(result.json));
      const failed = result.records.filter((record) => record.outcome.state === 'failed');
      return {
        figures: result.json,
        clientOverload: result.clientHealth.overloaded
          ? (result.clientHealth.remedy ?? 'The client did not keep up.')
          : null,
        failures: failed
          .slice(0, shownFailures)
          .map((record) => `request ${record.index}: ${describeOutcome(record.outcome)}`),
      };
    },
  };
}
