import type { Target, WorkloadOptions } from '../target.js';
import { alignPrompts } from './align-prompts.js';
import { arrivalTimes, rateAt } from './arrivals.js';
import type { SampledDataset } from './dataset.js';
import { samplePrompts } from './dataset-prompts.js';
import { findLocalTokenizer, loadLocalTokenizer } from './local-tokenizer.js';
import type { BenchPlan, BenchPrompt, BenchServeOptions } from './options.js';
import type { PromptTokenizer } from './prompt-tokenizer.js';
import { sampleRandomDataset, sharesPrompt } from './random-dataset.js';
import type { RpsChange } from './result-json.js';

/** Apart from the seed of the timed prompts, so that a warm-up has content of its own. */
const WARMUP_SEED_OFFSET = 1_000_003;
const MAX_WARMUP_SEEDS = 100;
const QA_WARMUP_TOKENS = 100;

/** Where prompts come from: a running server, or only a model's name while the server still starts. */
export type PromptSource = Target | { readonly model: string };

/**
 * Makes the prompts of a run ahead. Without a server in `source` only local tokenizer files help.
 * @returns null where there is neither a local tokenizer nor a server
 * @throws ServerUnreachableError, ServerAnswerError; RangeError for bad options; the signal's reason when aborted
 */
export async function prepareBenchServe(
  source: PromptSource,
  options: BenchServeOptions & WorkloadOptions,
): Promise<BenchPlan | null> {
  if (options.dataset?.name === 'multi-round-qa') {
    const { multiRoundQaWarmup } = await import('../multi-round-qa-plan.js');
    const warmupPrompts = multiRoundQaWarmup().map((text) => ({ text, promptLen: 0, outputLen: QA_WARMUP_TOKENS }));
    return { prompts: [], warmupPrompts, arrivals: [], tokenizer: 'server' };
  }
  const tokenizer = await openTokenizer(source, options);
  if (tokenizer === null) {
    return null;
  }
  try {
    const sampled = await samplePrompts(tokenizer, options, {
      signal: options.signal,
      onPrompt: (done, total) => {
        options.onProgress?.({ phase: 'prompts', done, total, failed: 0, inFlight: 0, figures: {} });
      },
    });
    const prompts =
      options.alignToServer && 'baseUrl' in source && tokenizer.name !== 'server'
        ? await alignPrompts(source, sampled.prompts, options.signal)
        : sampled.prompts;
    return {
      prompts,
      warmupPrompts: sampled.warmupPrompts ?? (await warmupPrompts(tokenizer, prompts, options)),
      arrivals: dueTimes(sampled, options),
      tokenizer: tokenizer.name,
    };
  } finally {
    await tokenizer.close();
  }
}

/** Local files, else the server's own; null where there is neither. */
export async function openTokenizer(
  source: PromptSource,
  options: BenchServeOptions & WorkloadOptions,
): Promise<PromptTokenizer | null> {
  const directory = options.tokenizerDirectory ?? (await findLocalTokenizer(source.model, options.hfHome));
  if (directory !== null) {
    return loadLocalTokenizer(directory);
  }
  if (!('baseUrl' in source)) {
    return null;
  }
  const { openServerTokenizer } = await import('./server-tokenizer.js');
  return openServerTokenizer(source, options.signal);
}

/** When each prompt is due: by the data set, else drawn from the seed. */
export function dueTimes(sampled: SampledDataset, options: BenchServeOptions): readonly number[] {
  return (
    sampled.timestamps ??
    arrivalTimes({
      count: sampled.prompts.length,
      requestRate: options.requestRate ?? Number.POSITIVE_INFINITY,
      burstiness: options.burstiness ?? 1,
      seed: options.seed ?? 0,
      ...(options.rampUp === undefined ? {} : { rampUp: options.rampUp }),
      ...(sampled.legacyTwister === undefined ? {} : { random: sampled.legacyTwister }),
    })
  );
}

/** When a ramp first reaches each whole number of requests a second. */
export function rpsChanges(arrivals: readonly number[], options: BenchServeOptions): RpsChange[] {
  const { rampUp } = options;
  if (rampUp === undefined) {
    return [];
  }
  let reached = rampUp.startRps;
  const changes: RpsChange[] = [{ rps: reached, atSeconds: 0 }];
  for (const [index, atSeconds] of arrivals.entries()) {
    const rate = Math.trunc(rateAt(index, arrivals.length, rampUp));
    while (reached < rate) {
      reached += 1;
      changes.push({ rps: reached, atSeconds });
    }
  }
  return changes;
}

/** Never the timed prompts: those would be in the prefix cache then. */
async function warmupPrompts(
  tokenizer: PromptTokenizer,
  prompts: readonly BenchPrompt[],
  options: BenchServeOptions & WorkloadOptions,
): Promise<readonly BenchPrompt[]> {
  const count = options.numWarmups ?? 0;
  if (count === 0) {
    return [];
  }
  const [first] = prompts;
  const isRandom = (options.dataset?.name ?? 'random') === 'random';
  const shape =
    isRandom || first === undefined
      ? {}
      : {
          randomInputLen: Math.max(1, first.promptLen) + tokenizer.addedTokens,
          randomOutputLen: Math.max(1, first.outputLen),
        };
  for (let attempt = 1; attempt <= MAX_WARMUP_SEEDS; attempt += 1) {
    const warmup = await sampleRandomDataset(
      tokenizer,
      { ...options, ...shape, numPrompts: count, seed: (options.seed ?? 0) + attempt * WARMUP_SEED_OFFSET },
      { signal: options.signal },
    );
    if (!sharesPrompt(prompts, warmup)) {
      return warmup;
    }
  }
  throw new RangeError('The vocabulary is too small to make warm-up prompts that differ from the timed ones.');
}
