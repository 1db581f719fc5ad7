import { describe, expect, it } from 'vitest';
import { parseStepNames, selectSteps } from '../../pipeline/step-selection.js';
import { defineStep, type Step } from '../../steps/step.js';

const make = (name: string, kind: Step['kind']) =>
  defineStep({ name, title: name, kind, settings: {}, run: async () => ({ outcome: 'passed', verdicts: [] }) });
const steps = [
  make('build-image', 'setup'),
  make('launch-containers', 'setup'),
  make('wait-for-vllm', 'setup'),
  make('lm-eval', 'test'),
  make('long-doc-qa', 'test'),
  make('cleanup', 'cleanup'),
];
const names = (only: string[], skip: string[] = []) => selectSteps(steps, only, skip).map(({ name }) => name);

describe('selectSteps', () => {
  it('brings along what a test stands on', () => {
    expect(names(['long-doc-qa'])).toEqual([
      'build-image',
      'launch-containers',
      'wait-for-vllm',
      'long-doc-qa',
      'cleanup',
    ]);
    expect(names(['build-image'])).toEqual(['build-image', 'cleanup']);
  });

  it('leaves out what is skipped, but never the cleaning', () => {
    expect(names([], ['build-image', 'lm-eval'])).toEqual([
      'launch-containers',
      'wait-for-vllm',
      'long-doc-qa',
      'cleanup',
    ]);
    expect(() => names([], ['cleanup'])).toThrow('--keep');
    expect(() => names(['lm-eval'], ['build-image', 'launch-containers', 'wait-for-vllm', 'lm-eval'])).toThrow(
      'no step to run',
    );
  });
});

describe('parseStepNames', () => {
  it('takes commas, repetition and script names', () => {
    expect(parseStepNames('--only', ['lm-eval,run-long-doc-qa', 'build-image'])).toEqual([
      'lm-eval',
      'long-doc-qa',
      'build-image',
    ]);
  });

  it('says what was probably meant', () => {
    expect(() => parseStepNames('--only', ['long-doc-qq'])).toThrow(
      '--only="long-doc-qq": there is no such step, did you mean long-doc-qa?',
    );
  });
});
