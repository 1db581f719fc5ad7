import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { StepResult } from '../results-schema/step-result.js';
import { formatFigure } from '../results-schema/verdicts.js';
import type { BenchPlan } from '../workloads/bench/options.js';
import { replayPrompts } from '../workloads/bench-serve.js';
import { resetPrefixCache } from '../workloads/server-api.js';
import { type CacheCounters, chunkTokens, watchCaches } from './cache-proof.js';
import { judgeWithEngines } from './engine-guard.js';
import { defineStep, type StepContext } from './step.js';
import { findTarget, requireRoom, type TestTarget } from './test-targets.js';
import { type BenchClient, type BenchServer, secondSeedOffset } from './vllm-bench/bench-client.js';
import { type BenchMeasurement, judgeVllmBench } from './vllm-bench/judge.js';
import { measureUntilSure } from './vllm-bench/measure-again.js';
import { createNativeClient, makePlan, preparePlan } from './vllm-bench/native-client.js';
import { type VllmBenchSettingValues, vllmBenchSettings } from './vllm-bench/settings.js';
import { createVllmClient } from './vllm-bench/vllm-client.js';

type Context = StepContext<VllmBenchSettingValues>;

/** Tokens of a chat template around the random text, generously. */
const promptOverheadTokens = 64;
const replayedPrompts = 5;

interface Preparation {
  readonly seed: number;
  readonly plan: Promise<BenchPlan | null>;
}

/** What `prepare` has started; the results directory stands for the run. */
const prepared = new WeakMap<ResultsDirectory, Preparation>();

export const step = defineStep({
  name: 'vllm-bench',
  title: 'vLLM bench: no throughput lost to LMCache',
  kind: 'test',
  settings: vllmBenchSettings,
  prepare: async (context) => {
    const seed = chooseSeed(context);
    const plan = preparePlan(context, seed);
    prepared.set(context.results, { seed, plan });
    await plan;
  },
  run: (context) => judgeWithEngines(context, () => runStep(context)),
});

async function runStep(context: Context): Promise<StepResult> {
  const { settings, progress } = context;
  const vllm = await findTarget(context, 'vllm');
  const baseline = await findTarget(context, 'baseline');
  for (const target of [baseline, vllm]) {
    const tokens = settings.RANDOM_INPUT_LEN + settings.RANDOM_OUTPUT_LEN + promptOverheadTokens;
    requireRoom(target, tokens, 'Prompts and answers');
  }
  const ahead = prepared.get(context.results);
  // Another try makes new prompts: these will be in the cache.
  prepared.delete(context.results);
  const seed = ahead?.seed ?? chooseSeed(context);
  progress.log(`RANDOM_SEED=${seed} makes the same prompts again.`);
  const plan = (await ahead?.plan.catch(() => null)) ?? (await makePlan(context, seed, baseline));
  const targets = { baseline, lmcache: vllm };
  return await measureUntilSure(async (missed) => {
    if (missed === null) return await measureServers(context, { seed, plan, folder: 'vllm_bench' }, targets);
    progress.log(`${missed} Both servers are measured again, with other prompts.`);
    const otherSeed = (seed + secondSeedOffset) % 2 ** 32;
    const otherPlan = await makePlan(context, otherSeed, baseline);
    return await measureServers(context, { seed: otherSeed, plan: otherPlan, folder: 'vllm_bench/again' }, targets);
  });
}

type Targets = Readonly<Record<BenchServer, TestTarget>>;

async function measureServers(
  context: Context,
  load: { readonly seed: number; readonly plan: BenchPlan; readonly folder: string },
  targets: Targets,
): Promise<StepResult> {
  const { seed, plan, folder } = load;
  if (context.settings.BENCH_CLIENT === 'native') {
    return await compareServers(context, createNativeClient(context, seed, plan, folder), plan, targets);
  }
  const client = await createVllmClient(context, seed, folder);
  try {
    // The same generator, seed and tokenizer make the same prompts, so ours can be replayed.
    return await compareServers(context, client, plan, targets);
  } finally {
    await client.dispose();
  }
}

/**
 * `count` items, or all, evenly spaced: 50 prompts of 10,000 tokens are more than an L1 of 80 GB holds, so some are gone again,
 * and which ones depends on the order in which the server had read them, which is not the order they were sent in.
 */
export function spreadOver<T>(items: readonly T[], count: number): readonly T[] {
  const share = (index: number) => Math.floor((index * count) / items.length);
  return items.filter((_, index) => share(index + 1) > share(index));
}

/** Baseline first: warm-up, timed part, each; then the proof that LMCache took part. */
export async function compareServers(
  context: Context,
  client: BenchClient,
  plan: BenchPlan,
  targets: Targets,
): Promise<StepResult> {
  const { settings, signal, progress } = context;
  const measure = async (server: BenchServer): Promise<BenchMeasurement> => {
    progress.log(`${client.label}: ${settings.NUM_PROMPTS} prompts of ${settings.RANDOM_INPUT_LEN} on ${server} ...`);
    const measurement = await context.workload('vllm-bench', server, () => client.measure(targets[server], server));
    const { total_token_throughput: throughput } = measurement.figures;
    const note = client.note === null ? '' : ` (${client.note})`;
    progress.log(`${server}: ${formatFigure(throughput)} tok/s${note}.`);
    return measurement;
  };
  const warmUp = (server: BenchServer) =>
    context.workload('vllm-bench warm-up', server, () => client.warmUp(targets[server], server));

  await warmUp('baseline');
  const baseline = await measure('baseline');

  const caches = watchCaches(context);
  await warmUp('lmcache');
  const beforeTimed = await caches.read();
  const lmcache = await measure('lmcache');
  const enough = settings.NUM_PROMPTS;
  const timedRise = await caches.riseSince(beforeTimed, (rise) =>
    caches.lmcacheHasHttp
      ? (rise.lookupRequestedTokens ?? 0) >= enough * chunkTokens && (rise.l1WriteChunks ?? 0) >= enough
      : (rise.externalQueryTokens ?? 0) >= enough * chunkTokens,
  );

  const reset = await resetPrefixCache(targets.lmcache, signal);
  const requestTimeoutSeconds = settings.REQUEST_TIMEOUT_SECONDS;
  const replayed = spreadOver(plan.prompts, replayedPrompts);
  const beforeReplay: CacheCounters = await caches.read();
  await context.workload('vllm-bench replay', 'lmcache', () =>
    replayPrompts(targets.lmcache, replayed, { signal, requestTimeoutSeconds }),
  );
  signal.throwIfAborted();
  const rise = await caches.riseSince(
    beforeReplay,
    (now) => (now.externalHitTokens ?? 0) >= replayed.length * chunkTokens,
  );
  return judgeVllmBench({
    settings,
    baseline,
    lmcache,
    timedRise,
    replay: { prompts: replayed.length, rise, resetProblem: reset.ok ? null : reset.message },
    lmcacheHasHttp: caches.lmcacheHasHttp,
    note: client.note,
  });
}

/** Seconds since 1970, as in the original suite: new prompts every time, or a run would measure the last one's cache. */
function chooseSeed({ settings }: Pick<Context, 'settings'>): number {
  return settings.RANDOM_SEED ?? Math.floor(Date.now() / 1000);
}
