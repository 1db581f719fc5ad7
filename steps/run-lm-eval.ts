import { readFile } from 'node:fs/promises';
import {
  compareAnswers,
  compareSamples,
  formatDifference,
  parseSamples,
  type SampleDifference,
  type SampleSet,
} from '../results-schema/lm-eval-samples.js';
import type { ResultsDirectory } from '../results-schema/results-directory.js';
import type { StepResult, Verdict } from '../results-schema/step-result.js';
import { conclude, type Gate, judge, report } from '../results-schema/verdicts.js';
import { resetPrefixCache, ServerAnswerError, tokenize } from '../workloads/server-api.js';
import { judgeBaselineDifference } from './baseline-difference.js';
import {
  type CacheCounters,
  chunkTokens,
  describeEviction,
  proofGate,
  reportGpuHits,
  watchCaches,
} from './cache-proof.js';
import { judgeWithEngines } from './engine-guard.js';
import { emptyCaches, firstRunGate } from './lm-eval/first-run.js';
import { localProblems, localPrompt, localTaskMaxTokens, localTaskName } from './lm-eval/local-task.js';
import { type LmEvalSettingValues, lmEvalSettings } from './lm-eval/settings.js';
import { startRunner } from './lm-eval/start-runner.js';
import type { PassName, TaskRunner } from './lm-eval/task-run.js';
import { defineStep, type StepContext } from './step.js';
import { findTarget, requireRoom, type TestTarget } from './test-targets.js';

type Context = StepContext<LmEvalSettingValues>;

/** Documents in GSM8K's test split: a larger LIMIT gets no more. */
const gsm8kDocuments = 1319;
const shownDifferences = 3;

/** What `prepare` has started, until `run` takes it. The results directory stands for the run. */
const prepared = new WeakMap<ResultsDirectory, Promise<TaskRunner>>();

export const step = defineStep({
  name: 'lm-eval',
  title: 'lm-eval: the same answers from the cache',
  kind: 'test',
  settings: lmEvalSettings,
  prepare: async (context) => {
    const runner = startRunner(context);
    prepared.set(context.results, runner);
    // Its failure is the step's result, not the preparation's.
    await runner.catch(() => undefined);
  },
  run: (context) => judgeWithEngines(context, () => runLmEval(context)),
});

async function runLmEval(context: Context): Promise<StepResult> {
  const pending = prepared.get(context.results) ?? startRunner(context);
  prepared.delete(context.results);
  const runner = await pending;
  try {
    return await evaluate(context, runner);
  } finally {
    await runner.close();
  }
}

async function evaluate(context: Context, runner: TaskRunner): Promise<StepResult> {
  const { settings, progress, signal } = context;
  const vllm = await findTarget(context, 'vllm');
  const baseline = await findTarget(context, 'baseline');
  if (runner.task === localTaskName) {
    await checkPromptLengths(context, vllm);
  }
  const passes: Verdict[] = [];
  const runPass = async (pass: PassName, target: TestTarget, server: string): Promise<string> => {
    progress.log(`${runner.label}, ${runner.task}, ${pass} on ${server} ...`);
    const started = performance.now();
    const file = await context.workload(`lm-eval ${pass}`, server, () => runner.run({ pass, target }));
    passes.push(reportWallTime(pass, (performance.now() - started) / 1000));
    return file;
  };

  await emptyCaches(context, vllm);
  const caches = watchCaches(context);
  const atStart = await caches.read();
  const firstFile = await runPass('first_run', vllm, 'vllm');
  const firstRise = await caches.riseSince(atStart, () => true);
  const reset = await resetPrefixCache(vllm, signal);
  if (!reset.ok) {
    progress.warn(`The engine's own prefix cache was not reset: ${reset.message}`);
  }
  const before = await caches.read();
  // Samples are read while the next pass runs: nothing here measures time.
  const [first, secondFile] = await Promise.all([readSamples(firstFile), runPass('second_run', vllm, 'vllm')]);
  const second = await readSamples(secondFile);
  const wanted = { tokens: second.documents * chunkTokens, chunks: second.documents };
  const rise = await caches.riseSince(
    before,
    (now) =>
      (now.externalHitTokens ?? 0) >= wanted.tokens &&
      (!caches.lmcacheHasHttp || (now.l1ReadChunks ?? 0) >= wanted.chunks),
  );
  const referenceFile = await runPass('baseline_run', baseline, 'baseline');
  // Python ends while its answers are compared; whoever called this waits for it.
  runner.close().catch(() => undefined);
  const reference = await readSamples(referenceFile);

  const fromBaseline = compareAnswers(reference, first);
  const againstBaseline = judgeBaselineDifference({
    differing: fromBaseline.length,
    compared: reference.documents,
    allowed: settings.MAX_BASELINE_DIFF,
    evidence: show(fromBaseline, 'baseline', 'LMCache, first run'),
  });
  const expected = runner.task === localTaskName ? settings.LIMIT : Math.min(settings.LIMIT, gsm8kDocuments);
  const proof = proofGates(rise, wanted, caches.lmcacheHasHttp, reset.ok ? null : reset.message);
  return conclude({
    gates: [
      ...proof,
      ...sampleGates(first, second, expected),
      firstRunGate(firstRise, wanted.tokens),
      ...againstBaseline.gates,
    ],
    reported: [...againstBaseline.reported, reportGpuHits(rise), ...reportScores(first, runner.task), ...passes],
    message: `${second.documents} samples of ${runner.task} (${runner.label}) identical in both runs`,
  });
}

async function readSamples(file: string): Promise<SampleSet> {
  return parseSamples(await readFile(file, 'utf8'), file);
}

function sampleGates(first: SampleSet, second: SampleSet, expected: number): readonly Gate[] {
  const differing = compareSamples(first, second);
  const blame = { reason: 'incorrect-output', cause: 'output-differs' } as const;
  return [
    {
      verdict: judge({
        name: 'differing_samples',
        title: 'Samples that differ between the two runs',
        unit: 'samples',
        measured: differing.length,
        comparison: '==',
        threshold: 0,
        note: `of ${second.documents}`,
      }),
      ...blame,
      meaning: 'The answers from the cache are not those of the first run.',
      evidence: show(differing, 'first run', 'second run'),
    },
    {
      verdict: judge({
        name: 'samples',
        title: 'Samples compared',
        unit: 'samples',
        measured: Math.min(first.documents, second.documents),
        comparison: '==',
        threshold: expected,
      }),
      reason: 'unknown',
      cause: 'exception',
      meaning: 'Not every sample was there to compare.',
    },
  ];
}

function proofGates(
  rise: CacheCounters,
  wanted: { readonly tokens: number; readonly chunks: number },
  lmcacheHasHttp: boolean,
  resetProblem: string | null,
): readonly Gate[] {
  const why = `${resetProblem === null ? '' : ` ${resetProblem}`}${describeEviction(rise, 'LIMIT')}`;
  const meaning = `The second run was not read from LMCache.${why}`;
  const hits = {
    name: 'external_hit_tokens',
    title: 'Tokens the second run took from LMCache',
    unit: 'tokens',
    measured: rise.externalHitTokens,
    atLeast: wanted.tokens,
  } as const;
  const reads = {
    name: 'l1_read_chunks',
    title: 'Chunks the LMCache server read for the second run',
    unit: 'chunks',
    measured: rise.l1ReadChunks,
    atLeast: wanted.chunks,
  } as const;
  return [proofGate(hits, meaning), ...(lmcacheHasHttp ? [proofGate(reads, meaning)] : [])];
}

/** The prompts must be longer than a chunk and short enough for the model; asked of the server's own tokenizer. */
async function checkPromptLengths(context: Context, target: TestTarget): Promise<void> {
  const prompts = localProblems(context.settings.LIMIT).map(localPrompt);
  prompts.sort((a, b) => a.length - b.length);
  const options = { addSpecialTokens: true, signal: context.signal };
  try {
    const [shortest = [], longest = []] = await Promise.all(
      [prompts[0] ?? '', prompts.at(-1) ?? ''].map((prompt) => tokenize(target, prompt, options)),
    );
    context.progress.log(`Prompts of about ${shortest.length} to ${longest.length} tokens.`);
    requireRoom(target, longest.length + localTaskMaxTokens, `Prompts and answers of ${localTaskName}`);
  } catch (error) {
    if (!(error instanceof ServerAnswerError)) {
      throw error;
    }
    context.progress.log(`The server does not tokenize (${error.message}): prompt lengths were not checked.`);
  }
}

function reportScores(samples: SampleSet, task: string): readonly Verdict[] {
  const filter = 'strict-match';
  const scores = samples.lines
    .filter(({ sample }) => sample.filter === filter)
    .map(({ sample }) => sample.exact_match ?? Number.NaN);
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const figure = { name: 'exact_match', title: `Score (exact match, ${filter})`, unit: '', measured: mean, note: task };
  return [report(figure)];
}

function reportWallTime(pass: PassName, seconds: number): Verdict {
  const note = 'wall time, never simulated';
  return report({ name: `${pass}_seconds`, title: `Duration of ${pass}`, unit: 's', measured: seconds, note });
}

function show(differences: readonly SampleDifference[], first: string, second: string): readonly string[] {
  return differences
    .slice(0, shownDifferences)
    .flatMap((difference) => formatDifference(difference, { first, second }));
}
