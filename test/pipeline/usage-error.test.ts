import { describe, expect, it } from 'vitest';
import { findBadSwitches, settleValues } from '../../pipeline/given-values.js';
import { describeUsageError } from '../../pipeline/usage-error.js';

const knownFlags = ['format', 'output', 'o', 'dry-run'];
const report = (message: string, ...args: readonly string[]) =>
  describeUsageError(message, { args: ['report', ...args], declared: 'report <directory>', knownFlags }).split('\n');
const advice = 'See lmcache-ci report --help.';

describe('an argument that nobody knows', () => {
  it.for([
    ['Unknown argument: B', ['A', 'B'], 'report takes one <directory>; more was given: "B".'],
    ['Unknown arguments: B, C', ['A', 'B', 'C'], 'report takes one <directory>; more was given: "B" "C".'],
    ['Unknown argument: formt', ['A', '--formt', 'x'], 'Unknown argument "--formt", did you mean --format?'],
    ['Unknown argument: formt', ['A', '--formt=x'], 'Unknown argument "--formt", did you mean --format?'],
    ['Unknown arguments: dry-rn, dryRn', ['A', '--dry-rn'], 'Unknown argument "--dry-rn", did you mean --dry-run?'],
    ['Unknown argument: color', ['A', '--no-color'], 'Unknown argument "--no-color"'],
    ['Unknown argument: x', ['A', '-x'], 'Unknown argument "-x"'],
    ['Unknown argument: y', ['A', '-xy'], 'Unknown argument "-y"'],
    ['Unknown argument: y', ['A', '-x', 'y'], 'report takes one <directory>; more was given: "y".'],
  ] as const)('%s of %j', ([message, args, said]) => {
    expect(report(message, ...args)).toEqual([said, advice]);
  });

  it('is a word too many for a command that takes none, and both may be wrong at once', () => {
    const doctor = { args: ['doctor', 'gpu', '--al'], declared: 'doctor', knownFlags };
    expect(describeUsageError('Unknown arguments: gpu, al', doctor).split('\n')).toEqual([
      'Unknown argument "--al"',
      'doctor takes flags only; given: "gpu".',
      'See lmcache-ci doctor --help.',
    ]);
    const study = { args: ['simulate-study', 'a', 'b'], declared: 'simulate-study [workload]', knownFlags };
    expect(describeUsageError('Unknown argument: b', study)).toBe(
      'simulate study takes one [workload]; more was given: "b".\nSee lmcache-ci simulate study --help.',
    );
    const nothing = { args: ['foo', 'bar'], declared: undefined, knownFlags: [] };
    expect(describeUsageError('Unknown arguments: foo, bar', nothing)).toBe(
      'There is no command "foo".\nSee lmcache-ci --help.',
    );
  });
});

it('what is missing, and what may be chosen, is said by its name', () => {
  expect(report('Not enough non-option arguments: got 0, need at least 1')).toEqual([
    '<directory> is missing.',
    advice,
  ]);
  expect(report('Not enough arguments following: format')).toEqual(['--format needs a value.', advice]);
  expect(report('Not enough arguments following: o')).toEqual(['-o needs a value.', advice]);
  const choice = 'Invalid values:\n  Argument: action, Given: "convrt", Choices: "generate", "convert"';
  expect(describeUsageError(choice, { args: ['traces'], declared: 'traces <action> [files..]', knownFlags })).toBe(
    'traces <action>: "convrt" is none of generate, convert; did you mean convert?\nSee lmcache-ci traces --help.',
  );
  const flag = 'Invalid values:\n  Argument: backend, Given: "foo", Choices: "openai", "vllm"';
  expect(describeUsageError(flag, { args: ['bench'], declared: 'bench', knownFlags })).toBe(
    '--backend: "foo" is none of openai, vllm\nSee lmcache-ci bench --help.',
  );
});

describe('values that yargs lets pass', () => {
  const options = { array: ['only', 'files'], boolean: ['dry-run'], alias: { only: ['s'], 'dry-run': ['n'] } };

  it('of a flag that was given twice the last counts; lists stay lists', () => {
    const parsed = { _: ['x'], model: ['a', 'b'], only: ['a', 'b'], s: ['a', 'b'], files: ['f'], gpus: '2' };
    expect(settleValues(parsed, options)).toEqual({ ...parsed, model: 'b' });
  });

  it('a switch is true or false, nothing else', () => {
    const said = (arg: string) => findBadSwitches([arg], options).map(({ message }) => message);
    expect(said('--dry-run=1')).toEqual([expect.stringContaining('--dry-run="1": expected true or false')]);
    expect(said('--n=')).toEqual([expect.stringContaining('--n="": expected true or false')]);
    for (const fine of ['--dry-run', '--dry-run=true', '--dry-run=false', '--model=1']) expect(said(fine)).toEqual([]);
  });
});
