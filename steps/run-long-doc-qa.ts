import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { StepResult } from '../results-schema/step-result.js';
import { formatFigure } from '../results-schema/verdicts.js';
import { type LongDocQaPlan, type LongDocQaResult, prepareLongDocQa, runLongDocQa } from '../workloads/long-doc-qa.js';
import { longDocQaAnswers, queryRoundCsv, warmupRoundCsv } from '../workloads/long-doc-qa-files.js';
import { type CacheCounters, watchCaches } from './cache-proof.js';
import { judgeWithEngines } from './engine-guard.js';
import { watchEngineTtft } from './long-doc-qa/engine-ttft.js';
import { hitTokens, judgeLongDocQa, queryTokens } from './long-doc-qa/judge.js';
import { type LongDocQaSettingValues, longDocQaSettings } from './long-doc-qa/settings.js';
import { defineStep, type StepContext } from './step.js';
import { findTarget, requireRoom, type TestTarget } from './test-targets.js';
import { showWorkload } from './workload-progress.js';

type Context = StepContext<LongDocQaSettingValues>;

/** Tokens of a chat template and of the document's number, generously. */
const promptOverheadTokens = 64;

/** Prompts made by `prepare`; the results directory stands for the run. */
const prepared = new WeakMap<ResultsDirectory, LongDocQaPlan>();

export const step = defineStep({
  name: 'long-doc-qa',
  title: 'Long document QA: faster from the cache',
  kind: 'test',
  settings: longDocQaSettings,
  prepare: (context) => {
    prepared.set(context.results, makePlan(context.settings));
    return Promise.resolve();
  },
  run: (context) => judgeWithEngines(context, () => runStep(context)),
});

async function runStep(context: Context): Promise<StepResult> {
  const { settings } = context;
  const plan = prepared.get(context.results) ?? makePlan(settings);
  const vllm = await findTarget(context, 'vllm');
  const baselineTarget = await findTarget(context, 'baseline');
  for (const target of [baselineTarget, vllm]) {
    requireRoom(target, settings.DOCUMENT_LENGTH + settings.OUTPUT_LEN + promptOverheadTokens, 'Documents and answers');
  }

  const byBaseline = watchEngineTtft(baselineTarget.baseUrl, context.signal);
  const baseline = await runOn(context, baselineTarget, 'baseline', plan, () => byBaseline.begin());
  const baselineTtft = await byBaseline.mean();
  await writeFiles(context, 'baseline', baseline);

  const caches = watchCaches(context);
  const byLmcache = watchEngineTtft(vllm.baseUrl, context.signal);
  let beforeQuery: CacheCounters | null = null;
  const lmcache = await runOn(context, vllm, 'lmcache', plan, async () => {
    beforeQuery = await caches.read();
    await byLmcache.begin();
  });
  const engineTtft = { baseline: baselineTtft, lmcache: await byLmcache.mean() };
  await writeFiles(context, 'lmcache', lmcache);
  if (beforeQuery === null) {
    throw new Error('The query round began without a look at the counters.');
  }
  const wanted = (queryTokens(lmcache) ?? Number.POSITIVE_INFINITY) / 2;
  const queryRise = await caches.riseSince(beforeQuery, (rise) => (hitTokens(rise) ?? 0) >= wanted);
  return judgeLongDocQa({ settings, baseline, lmcache, queryRise, engineTtft });
}

function makePlan(settings: LongDocQaSettingValues): LongDocQaPlan {
  return prepareLongDocQa({
    documentLength: settings.DOCUMENT_LENGTH,
    numDocuments: settings.NUM_DOCUMENTS,
    repeatCount: settings.REPEAT_COUNT,
    repeatMode: settings.REPEAT_MODE,
    shuffleSeed: settings.SHUFFLE_SEED,
  });
}

async function runOn(
  context: Context,
  target: TestTarget,
  server: 'baseline' | 'lmcache',
  plan: LongDocQaPlan,
  betweenRounds: () => Promise<void>,
): Promise<LongDocQaResult> {
  const { settings, progress, signal } = context;
  progress.log(`Long document QA on ${server} (${settings.NUM_DOCUMENTS} x ${settings.DOCUMENT_LENGTH} tokens) ...`);
  const result = await context.workload('long-doc-qa', server, () =>
    runLongDocQa(target, {
      plan,
      outputLen: settings.OUTPUT_LEN,
      maxInflightRequests: settings.MAX_INFLIGHT_REQUESTS,
      requestTimeoutSeconds: settings.REQUEST_TIMEOUT_SECONDS,
      signal,
      onProgress: showWorkload(progress, server),
      betweenRounds,
    }),
  );
  signal.throwIfAborted();
  const { query_ttft_per_prompt: ttft, query_round_time_per_prompt: roundTime } = result.summary;
  progress.log(
    `${server}: query TTFT ${formatFigure(ttft, 4)} s, round time ${formatFigure(roundTime, 4)} s a prompt.`,
  );
  return result;
}

/** The tree of the original suite, and each request in CSV. A result that could not be measured has no JSON. */
async function writeFiles(
  { results }: Context,
  server: 'baseline' | 'lmcache',
  result: LongDocQaResult,
): Promise<void> {
  const { summary, simulated } = result;
  if (Object.values(summary).every((value) => value !== null)) {
    const marked = simulated === null ? summary : { ...summary, simulated };
    await results.writeJson(`long_doc_qa/${server}_result.json`, marked, { singleLine: true });
  }
  await results.writeText(`long_doc_qa/${server}_output.txt`, longDocQaAnswers(result));
  await results.writeText(`long_doc_qa/${server}_warmup_round.csv`, warmupRoundCsv(result.warmup));
  await results.writeText(`long_doc_qa/${server}_query_round.csv`, queryRoundCsv(result.query, result.queryIsMiss));
}
