import { describe, expect, it } from 'vitest';
import { resultsRefusal } from '../../pipeline/new-results.js';
import { ResultsDirectoryError } from '../../results-schema/results-directory-checks.js';

const refusal = (code: string) =>
  resultsRefusal(
    new ResultsDirectoryError('not-writable', '/results', 'results directory "/results" cannot be written', {
      cause: Object.assign(new Error(code), { code }),
    }),
  );

describe('a results directory that cannot be used', () => {
  it.each([
    ['ENOSPC', 3],
    ['EDQUOT', 3],
    ['EACCES', 2],
    ['EROFS', 2],
  ])('by %s ends with %i before anything is started', (code, exitCode) => {
    expect(refusal(code)).toMatchObject({ exitCode, message: expect.stringContaining('Nothing was started') });
  });
});
