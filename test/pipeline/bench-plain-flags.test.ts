import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import yargs from 'yargs';
import { addBenchFlags, benchFlagForms } from '../../pipeline/commands/bench-flags.js';
import { readPlainFlags } from '../../pipeline/commands/bench-plain-flags.js';

/** What yargs reads of the flags that bench has; null: it complains. */
function readByYargs(args: readonly string[]): Record<string, unknown> | null {
  const parser = addBenchFlags(yargs([...args]))
    .strict()
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    });
  try {
    const parsed: Record<string, unknown> = { ...parser.parseSync() };
    return Object.fromEntries(
      [...benchFlagForms.keys()].flatMap((name) => (name in parsed ? [[name, parsed[name]]] : [])),
    );
  } catch {
    return null;
  }
}

const value = fc.oneof(
  fc.constantFrom(
    'random',
    'openai-chat',
    '8000',
    '-1',
    'inf',
    '{"a": 1}',
    'a=b',
    'ttft:200',
    'true',
    '"quoted"',
    '',
    '0x10',
  ),
  fc.string({ maxLength: 6 }),
);
const name = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...benchFlagForms.keys()) },
  { weight: 1, arbitrary: fc.constantFrom('help', 'nonsense', 'numPrompts', 'constructor') },
);
const flag = fc.oneof(
  fc.tuple(name, value).map(([flag, text]) => [`--${flag}`, text]),
  fc.tuple(name, value).map(([flag, text]) => [`--${flag}=${text}`]),
  name.map((flag) => [`--${flag}`]),
  name.map((flag) => [`--no-${flag}`]),
  fc.tuple(name, fc.array(value, { maxLength: 3 })).map(([flag, texts]) => [`--${flag}`, ...texts]),
);

describe('flags read without yargs', () => {
  test('are those that yargs reads, whatever is given', () => {
    let plain = 0;
    fc.assert(
      fc.property(fc.array(flag, { maxLength: 4 }), (flags) => {
        const read = readPlainFlags(flags.flat());
        if (read !== null) {
          plain += 1;
          expect(readByYargs(flags.flat())).toEqual(read);
        }
      }),
      { numRuns: 300 },
    );
    expect(plain).toBeGreaterThan(30);
  });

  test('are all that scripts give', () => {
    const args =
      '--base-url http://h:1 --num-prompts=5 --goodput ttft:200 e2el:900 --save-result --no-oversample --seed 0';
    expect(readPlainFlags(args.split(' '))).toEqual({
      'base-url': 'http://h:1',
      'num-prompts': '5',
      goodput: ['ttft:200', 'e2el:900'],
      'save-result': true,
      oversample: false,
      seed: '0',
    });
  });

  test.each([
    '--nonsense 1',
    '--help',
    '--backend tgi',
    '--seed',
    '--seed 1 --seed 2',
    '--seed 1 2',
    '--save-result=true',
    '--custom-output-len -1',
    'word',
    '-m x',
    '--no-seed',
  ])('are not those of "%s": yargs decides', (args) => {
    expect(readPlainFlags(args.split(' '))).toBeNull();
  });
});
