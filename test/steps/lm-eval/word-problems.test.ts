import { describe, expect, it } from 'vitest';
import { localPrompt } from '../../../steps/lm-eval/local-task.js';
import { wordProblem } from '../../../steps/lm-eval/word-problems.js';

const problems = Array.from({ length: 300 }, (_, index) => wordProblem(index));

describe('wordProblem', () => {
  it('is always the same for a number', () => {
    expect(wordProblem(17)).toEqual(problems[17]);
  });

  it('is longer than three chunks of 256 tokens whatever the tokenizer: a word is at least a token', () => {
    for (const { question } of problems) {
      const words = question.split(/\s+/).length;
      expect(words).toBeGreaterThanOrEqual(768);
      // And short enough for a model of 2,048 tokens, at two tokens a word.
      expect(words).toBeLessThan(960);
    }
  });

  it('shares no first chunk with another: they differ in their first words, and in all of the first chunk', () => {
    const prompts = problems.map(localPrompt);
    expect(new Set(prompts.map((prompt) => prompt.split(' ').slice(0, 2).join(' '))).size).toBe(prompts.length);
    const stories = prompts.map((prompt) => prompt.split(' ').slice(15, 85).join(' '));
    expect(new Set(stories).size).toBe(prompts.length);
  });

  it('asks for what its own numbers come to', () => {
    for (const { question, answer } of problems) {
      let stock = Number(/there are (\d+) \w+ in the store/.exec(question)?.[1]);
      for (const [, brought, taken] of question.matchAll(/brings (\d+) more|takes (\d+) of/g)) {
        stock += Number(brought ?? 0) - Number(taken ?? 0);
      }
      expect(answer).toMatch(new RegExp(`\\n#### ${stock}$`));
      expect(stock).toBeGreaterThanOrEqual(0);
    }
  });
});
