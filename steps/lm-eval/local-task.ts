import { stringify } from 'yaml';
import type { ResultsDirectory } from '../../results-schema/results-directory.js';
import { type WordProblem, wordProblem } from './word-problems.js';

/** Our own task: labelled by its name in every file and table. */
export const localTaskName = 'gsm8k_local';

/** What an answer may at most have: enough for a few lines of arithmetic. */
export const localTaskMaxTokens = 128;
export const localTaskStops: readonly string[] = ['Book ', '</s>', '<|im_end|>'];

/** The first number stands after `####`; the looser filter takes the last number there is (GSM8K's two filters). */
export const strictAnswerPattern = '#### (\\-?[0-9\\.\\,]+)';
export const flexibleAnswerPattern = '(-?[$0-9.,]{2,})|(-?[0-9]+)';
/** What does not count when an answer is compared with the expected one. */
export const ignoredInAnswers: readonly string[] = [',', '\\$', '(?s).*#### ', '\\.$'];

export interface LocalTask {
  /** For lm_eval's `--include_path`. */
  readonly directory: string;
  readonly problems: readonly WordProblem[];
}

const madeProblems: WordProblem[] = [];

/** The first `count` problems, each made once. */
export function localProblems(count: number): readonly WordProblem[] {
  for (let index = madeProblems.length; index < count; index += 1) madeProblems.push(wordProblem(index));
  return madeProblems.slice(0, count);
}

/** What is sent to the server for a problem. */
export function localPrompt(problem: WordProblem): string {
  return `${problem.question}\nAnswer:`;
}

/**
 * Writes the task into `lm_eval/task/`: `gsm8k_local.yaml` for lm_eval (its task format, `output_type:
 * generate_until`) and `test.jsonl`, one `{question, answer}` a line. No few-shot examples: they would give
 * all prompts the same beginning, and a prefix cache the same entry.
 */
export async function writeLocalTask(results: ResultsDirectory, count: number): Promise<LocalTask> {
  const problems = localProblems(count);
  const directory = results.path('lm_eval', 'task');
  await results.writeText(
    'lm_eval/task/test.jsonl',
    problems.map((problem) => `${JSON.stringify(problem)}\n`).join(''),
  );
  const filter = (name: string, pattern: Readonly<Record<string, string | number>>) => ({
    name,
    filter: [{ function: 'regex', ...pattern }, { function: 'take_first' }],
  });
  await results.writeText(
    `lm_eval/task/${localTaskName}.yaml`,
    stringify({
      task: localTaskName,
      dataset_path: 'json',
      dataset_kwargs: { data_files: { test: results.path('lm_eval', 'task', 'test.jsonl') } },
      test_split: 'test',
      output_type: 'generate_until',
      doc_to_text: '{{question}}\nAnswer:',
      doc_to_target: '{{answer}}',
      num_fewshot: 0,
      generation_kwargs: {
        until: localTaskStops,
        max_gen_toks: localTaskMaxTokens,
        do_sample: false,
        temperature: 0,
      },
      filter_list: [
        filter('strict-match', { regex_pattern: strictAnswerPattern }),
        filter('flexible-extract', { group_select: -1, regex_pattern: flexibleAnswerPattern }),
      ],
      metric_list: [
        {
          metric: 'exact_match',
          aggregation: 'mean',
          higher_is_better: true,
          ignore_case: true,
          ignore_punctuation: false,
          regexes_to_ignore: ignoredInAnswers,
        },
      ],
      metadata: { version: 1, description: 'Arithmetic word problems made by lmcache-ci; not GSM8K.' },
    }),
  );
  return { directory, problems };
}
