import type { ModelShape, Profile, StepTimeModel } from '../contracts.js';
import type { L2Adapter } from '../lmcache/l2-adapter.js';
import { openStudyEngine } from '../study/study-engine.js';
import type { VirtualEngine, VirtualRecord, VirtualRequest } from '../study/virtual-serving.js';
import { mean, median } from './averages.js';
import type {
  ArrivalsCase,
  EngineKind,
  RecordedRequest,
  RoundCase,
  StepCase,
  TtftCase,
  TtftRepetition,
} from './cases.js';

const CHUNK_TOKENS = 256;
/** What a client needs between an answer's end and its next request. */
const TURNAROUND_SECONDS = 0.0001;
/** Tokens of random prompts are spread over this many ids, nearly all different. */
const RANDOM_IDS = 151_643;
/** First ids of random prompts lie so far apart. */
const PROMPT_STRIDE = 2741;

export interface PredictedEngine {
  readonly profile: Profile;
  readonly model: ModelShape;
  /** Blocks of KV that the recorded engines had; by the memory, half of it used, of one that is left out. */
  readonly blockCounts?: { readonly [engine in EngineKind]?: number | undefined };
  /** First level of the cache server; 80 GiB if left out. */
  readonly l1SizeGib?: number;
  /** Second level of the cache server, where the recording had one; a new one for each prediction. */
  readonly l2?: () => readonly L2Adapter[];
}

/** Seconds of one decode step. */
export function predictStep({ profile, model }: PredictedEngine, { engine, batch, contextTokens }: StepCase): number {
  const decodes = Array.from({ length: batch }, () => ({ contextTokens }));
  return stepTimeOf(profile, model, engine).stepSeconds({ prefills: [], decodes });
}

/**
 * TTFT in seconds of prompts on an idle engine, the median of a prediction for each as long as it was: what the engine loop
 * comes to, without running it.
 */
export function predictTtft({ profile, model }: PredictedEngine, recorded: TtftCase): number {
  const stepTime = stepTimeOf(profile, model, recorded.engine);
  return median(recorded.repetitions.map((repetition) => ttftOf(profile, stepTime, recorded, repetition)));
}

/** What is measured of the same prompts: the median. Seconds. */
export function measuredTtft({ repetitions }: TtftCase): number {
  return median(repetitions.map(({ seconds }) => seconds));
}

function ttftOf(
  profile: Profile,
  stepTime: StepTimeModel,
  { cachedIn, cameAsIds }: TtftCase,
  { promptTokens, cachedTokens }: TtftRepetition,
): number {
  const { blockTokens, maxNumBatchedTokens, transfer } = profile;
  const longest = promptTokens - 1;
  let cached = 0;
  let foundInLmcache = 0;
  let loadSeconds = 0;
  if (cachedIn !== 'none') foundInLmcache = Math.min(Math.floor(promptTokens / CHUNK_TOKENS) * CHUNK_TOKENS, longest);
  if (cachedIn === 'gpu') cached = cachedTokens ?? Math.floor(longest / blockTokens) * blockTokens;
  if (cachedIn === 'lmcache') {
    foundInLmcache = cachedTokens ?? foundInLmcache;
    cached = foundInLmcache;
    const bytes = Math.ceil(cached / CHUNK_TOKENS) * CHUNK_TOKENS * stepTime.kvBytesPerToken;
    if (cached > 0) loadSeconds = transfer.loadOverheadSeconds + bytes / transfer.loadBytesPerSecond;
  }
  const lookupSeconds = stepTime.lookupSeconds(foundInLmcache);
  const { reading, tokenising, rest } = stepTime.apiSeconds(promptTokens, cameAsIds ? null : promptTokens);
  let seconds = reading + tokenising + rest + lookupSeconds + loadSeconds + stepTime.deliverySeconds;
  for (let done = cached, sustained = 0; done < promptTokens; ) {
    const newTokens = Math.min(promptTokens - done, maxNumBatchedTokens);
    const step = stepTime.stepSeconds({
      prefills: [{ newTokens, contextTokens: done }],
      decodes: [],
      sustainedPrefillSeconds: sustained,
    });
    seconds += step;
    sustained = Math.min(sustained + step, stepTime.warmUpSeconds);
    done += newTokens;
  }
  return seconds;
}

/** What is reported of a round. Seconds, except tokens a second. */
export interface RoundFigures {
  readonly ttft: number;
  readonly roundTime: number;
  /** Mean gap between tokens; NaN for answers of one token. */
  readonly itl: number;
  readonly throughput: number;
}

/** The rounds of one server, in order: what the first stores the second finds. */
export async function predictRounds(
  predicted: PredictedEngine,
  rounds: readonly RoundCase[],
): Promise<readonly RoundFigures[]> {
  const [first] = rounds;
  if (first === undefined) return [];
  const virtual = engineFor(predicted, first.engine);
  const figures: RoundFigures[] = [];
  // Queries go through the warm-up's documents again and again.
  const warmup = rounds.find(({ workload }) => workload === 'longdoc-warmup');
  const documents = warmup
    ? Math.max(...warmup.requests.map(({ prompt }) => Number(prompt))) + 1
    : Number.POSITIVE_INFINITY;
  for (const round of rounds) figures.push(await predictRound(virtual, round, documents));
  return figures;
}

/** What clients would have measured of prompts that come at the recorded times, in the order of the requests. */
export async function predictArrivals(
  predicted: PredictedEngine,
  { engine, requests }: ArrivalsCase,
): Promise<readonly VirtualRecord[]> {
  return engineFor(predicted, engine).replay(
    requests.map(({ start, promptTokens, outputTokens }, index) => ({
      at: start,
      promptIds: randomPrompt(promptTokens, index * PROMPT_STRIDE),
      outputTokens,
    })),
  );
}

function engineFor({ profile, model, blockCounts, l1SizeGib, l2 }: PredictedEngine, engine: EngineKind): VirtualEngine {
  const blockCount = blockCounts?.[engine];
  return openStudyEngine({
    profile,
    model,
    engine,
    ...(blockCount === undefined ? {} : { blockCount }),
    ...(l1SizeGib === undefined ? {} : { l1SizeGib }),
    ...(l2 ? { l2: l2() } : {}),
  });
}

async function predictRound(virtual: VirtualEngine, round: RoundCase, documents: number): Promise<RoundFigures> {
  const isBench = round.workload === 'bench';
  const requests = round.requests.map(
    ({ prompt, promptTokens, outputTokens }): VirtualRequest => ({
      promptIds: isBench
        ? randomPrompt(promptTokens, Number(prompt) * PROMPT_STRIDE)
        : documentOf(promptTokens, Number(prompt) % documents),
      outputTokens,
    }),
  );
  const startedAt = virtual.clock.now();
  const records = await virtual.round(requests, concurrency(round.requests), TURNAROUND_SECONDS);
  return figuresOf(
    records.map((record: VirtualRecord, index) => ({
      start: record.start - startedAt,
      ttft: record.ttft,
      end: record.end - startedAt,
      promptTokens: requests[index]?.promptIds.length ?? 0,
      outputTokens: requests[index]?.outputTokens ?? 0,
    })),
  );
}

/** The figures of a recorded round, or of a predicted one. */
export function figuresOf(requests: readonly Omit<RecordedRequest, 'prompt'>[]): RoundFigures {
  const duration = Math.max(...requests.map(({ end }) => end));
  const tokens = requests.reduce((sum, { promptTokens, outputTokens }) => sum + promptTokens + outputTokens, 0);
  const gaps = requests
    .filter(({ outputTokens }) => outputTokens > 1)
    .map(({ start, ttft, end, outputTokens }) => (end - start - ttft) / (outputTokens - 1));
  return {
    ttft: mean(requests.map(({ ttft }) => ttft)),
    roundTime: duration / requests.length,
    itl: mean(gaps),
    throughput: tokens / duration,
  };
}

/** How many requests were under way before the first one ended. */
function concurrency(requests: readonly RecordedRequest[]): number {
  const firstEnd = Math.min(...requests.map(({ end }) => end));
  return requests.filter(({ start }) => start < firstEnd).length;
}

function stepTimeOf(profile: Profile, model: ModelShape, engine: EngineKind): StepTimeModel {
  return profile.stepTime(model, { connector: engine === 'lmcache' });
}

/** Distinct tokens, as in the recorded bench prompts (random tokens). */
function randomPrompt(tokens: number, start: number): readonly number[] {
  return Array.from({ length: tokens }, (_, index) => (start + index * 7919) % RANDOM_IDS);
}

/** A document of one repeated word, told apart by its number. */
function documentOf(tokens: number, number: number): readonly number[] {
  return [151_644, 198, number, ...new Array<number>(tokens - 3).fill(300)];
}
