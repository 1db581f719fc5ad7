import { describe, expect, it } from 'vitest';
import { exactMatch, extractAnswer } from '../../../steps/lm-eval/score.js';

describe('extractAnswer', () => {
  it.each([
    ['12 + 3 = 15.\n#### 15', '15', '15'],
    ['#### 1,234.5 and 6', '1,234.5', '6'],
    ['it is $40.', '[invalid]', '$40.'],
    ['#### 1 #### 2', '1', '2'],
    ['nothing', '[invalid]', '[invalid]'],
    ['minus -7', '[invalid]', '-7'],
  ])('finds in %j strictly %j, flexibly %j', (text, strict, flexible) => {
    expect(extractAnswer('strict-match', text)).toBe(strict);
    expect(extractAnswer('flexible-extract', text)).toBe(flexible);
  });
});

describe('exactMatch', () => {
  it.each([
    ['15', 'so it is\n#### 15', 1],
    ['1,234.', '#### 1234', 1],
    ['$40', '#### 40', 1],
    ['[invalid]', '#### 40', 0],
    ['41', '#### 40', 0],
  ] as const)('compares %j with %j', (answer, expected, score) => {
    expect(exactMatch(answer, expected)).toBe(score);
  });
});
