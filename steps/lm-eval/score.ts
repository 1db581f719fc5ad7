import { flexibleAnswerPattern, strictAnswerPattern } from './local-task.js';

/** lm_eval's name for an answer in which a filter finds nothing. */
const invalid = '[invalid]';

export const scoreFilters = ['strict-match', 'flexible-extract'] as const;
export type ScoreFilter = (typeof scoreFilters)[number];

/** What a filter of the task takes for the answer (lm_eval's RegexFilter): the first or the last match, trimmed. */
export function extractAnswer(filter: ScoreFilter, text: string): string {
  if (filter === 'strict-match') {
    return new RegExp(strictAnswerPattern).exec(text)?.[1]?.trim() ?? invalid;
  }
  const last = [...text.matchAll(new RegExp(flexibleAnswerPattern, 'g'))].at(-1);
  return (last?.[1] ?? last?.[2])?.trim() ?? invalid;
}

/** 1 or 0: equal, apart from case, thousands separators, dollars, a last full stop and what stands before `####`. */
export function exactMatch(answer: string, expected: string): 0 | 1 {
  return normalise(answer) === normalise(expected) ? 1 : 0;
}

function normalise(text: string): string {
  return text
    .replaceAll(',', '')
    .replaceAll('$', '')
    .replace(/.*#### /s, '')
    .replace(/\.$/, '')
    .toLowerCase();
}
