import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { LmEvalSample } from '../../results-schema/lm-eval-output.js';
import { completePrompts } from '../../workloads/completions.js';
import { requestGate } from '../request-gate.js';
import type { StepContext } from '../step.js';
import { StepFailure } from '../step-failure.js';
import { localProblems, localPrompt, localTaskMaxTokens, localTaskName, localTaskStops } from './local-task.js';
import { exactMatch, extractAnswer, scoreFilters } from './score.js';
import type { LmEvalSettingValues } from './settings.js';
import type { TaskPass, TaskRunner } from './task-run.js';
import type { WordProblem } from './word-problems.js';

type RunnerContext = Pick<StepContext<LmEvalSettingValues>, 'settings' | 'results' | 'progress' | 'signal'>;

/** The seed lm_eval 0.4 sends with every request, whatever its own `--seed`. */
const requestSeed = 1234;

/** The local task without Python: the same prompts, the same files, our own client. */
export function createNativeRunner(context: RunnerContext): TaskRunner {
  const problems = localProblems(context.settings.LIMIT);
  return {
    label: 'native client (not lm_eval)',
    task: localTaskName,
    run: (pass) => runPass(context, problems, pass),
    close: () => Promise.resolve(),
  };
}

async function runPass(
  context: RunnerContext,
  problems: readonly WordProblem[],
  { pass, target }: TaskPass,
): Promise<string> {
  const { settings, results, progress, signal } = context;
  const generation = { until: [...localTaskStops], max_gen_toks: localTaskMaxTokens, do_sample: false, temperature: 0 };
  await rm(results.path('lm_eval', pass), { recursive: true, force: true });
  const { records, simulated } = await completePrompts(target, problems.map(localPrompt), {
    maxTokens: localTaskMaxTokens,
    concurrency: settings.NUM_CONCURRENT,
    stop: localTaskStops,
    seed: requestSeed,
    requestTimeoutSeconds: settings.REQUEST_TIMEOUT_SECONDS,
    signal,
    onProgress: ({ done, total }) => progress.update({ task: `native ${pass}`, done, total }),
  });
  signal.throwIfAborted();
  const gate = requestGate('completed', 'Completed requests', records, problems.length);
  if (gate.verdict.outcome !== 'passed') {
    throw new StepFailure(`${pass}: ${gate.meaning}`, {
      reason: gate.reason,
      failureCause: gate.cause,
      evidence: gate.evidence ?? [],
    });
  }
  const samples = scoreFilters.flatMap((filter) =>
    problems.map((problem, index) => makeSample(index, problem, records[index]?.text ?? '', filter, generation)),
  );
  const stamp = new Date().toISOString().replaceAll(':', '-').replace('Z', '');
  const file = `lm_eval/${pass}/samples_${localTaskName}_${stamp}.jsonl`;
  await results.writeText(file, samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  await results.writeJson(`lm_eval/${pass}/results_${stamp}.json`, {
    results: { [localTaskName]: scores(samples) },
    lmcache_ci: { client: 'native', simulated },
  });
  return results.path(...file.split('/'));
}

function makeSample(
  index: number,
  problem: WordProblem,
  text: string,
  filter: (typeof scoreFilters)[number],
  generation: Readonly<Record<string, unknown>>,
): LmEvalSample {
  const prompt = localPrompt(problem);
  const answer = extractAnswer(filter, text);
  const doc = { question: problem.question, answer: problem.answer };
  return {
    doc_id: index,
    doc,
    target: problem.answer,
    arguments: { gen_args_0: { arg_0: prompt, arg_1: generation } },
    resps: [[text]],
    filtered_resps: [answer],
    filter,
    metrics: ['exact_match'],
    // As lm_eval makes them: the document as JSON with an indent of 2, prompt and target as they are.
    doc_hash: sha256(JSON.stringify(doc, null, 2)),
    prompt_hash: sha256(prompt),
    target_hash: sha256(problem.answer),
    exact_match: exactMatch(answer, problem.answer),
  };
}

function scores(samples: readonly LmEvalSample[]): Record<string, number | string> {
  const result: Record<string, number | string> = { alias: localTaskName };
  for (const filter of scoreFilters) {
    const matches = samples.filter((sample) => sample.filter === filter).map((sample) => sample.exact_match ?? 0);
    result[`exact_match,${filter}`] = matches.reduce((sum, match) => sum + match, 0) / matches.length;
  }
  return result;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
