import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { hashNumbers } from '../../simulator/chance.js';
import { parseGrammar } from '../../simulator/http/grammar-pattern.js';
import { PatternError, parseRegex } from '../../simulator/http/regex-pattern.js';
import { patternText } from '../../simulator/http/text-pattern.js';
import { type ServedInProcess, serveInProcess } from './serve-in-process.js';

const judged = z.array(z.tuple([z.string(), z.string().nullable()]));
/** Regular expressions and grammars with what vLLM's backends say against them. */
const real = z
  .object({ regexes: judged, grammars: judged })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/vllm-0.26/patterns.json', import.meta.url), 'utf8')));

function drawsOf(seed: number) {
  let count = seed;
  const next = (): number => {
    count += 1;
    return hashNumbers([count], seed) / 2 ** 32;
  };
  return {
    number: (below: number) => Math.floor(next() * below),
    word: () => ['green', 'old', 'x'][count++ % 3] ?? '',
  };
}

function refusal(parse: () => unknown): string | null {
  try {
    parse();
    return null;
  } catch (error) {
    if (error instanceof PatternError) return error.message;
    throw error;
  }
}

describe('regular expressions', () => {
  it.each(real.regexes)('%j: %s', (source, message) => {
    expect(refusal(() => parseRegex(source))).toBe(message);
  });

  /** What JavaScript itself can check, and quickly: nothing endless within anything repeated. */
  const single = fc.constantFrom(
    'a',
    '-',
    '\\.',
    '\\d',
    '\\w',
    '\\S',
    '.',
    '[a-f]',
    '[^x-z]',
    '[\\d_]',
    '"',
    ' ',
    'é',
    '\\x41',
  );
  const joined = (parts: fc.Arbitrary<string>) => fc.array(parts, { maxLength: 4 }).map((items) => items.join(''));
  const suffixed = (part: fc.Arbitrary<string>, ...suffixes: readonly string[]) =>
    fc.tuple(part, fc.constantFrom('', ...suffixes)).map((both) => both.join(''));
  const grouped = (part: fc.Arbitrary<string>) =>
    fc
      .tuple(fc.constantFrom('(', '(?:', '(?<n>'), fc.array(part, { minLength: 1, maxLength: 3 }))
      .map(([open, options]) => `${open}${options.join('|')})`);
  const fixed = joined(suffixed(single, '?', '{2}', '{1,3}'));
  const group = suffixed(grouped(joined(fc.oneof(single, grouped(fixed)))), '?', '{2}');
  const regex = joined(fc.oneof(suffixed(single, '*', '+', '{0,}', '+?'), group));

  it('give texts that match them, the same for the same draws', () => {
    fc.assert(
      fc.property(regex, fc.nat(), (source, seed) => {
        const plain = source.replaceAll('(?<n>', '(');
        const text = patternText(parseRegex(source), new Map(), drawsOf(seed));
        expect(text).toMatch(new RegExp(`^(?:${plain})$`, 'u'));
        expect(patternText(parseRegex(source), new Map(), drawsOf(seed))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it('are read or refused, whatever they are', () => {
    const part = fc.constantFrom(
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      '*',
      '\\',
      'p',
      '?',
      'a',
      '1',
      ',',
      '-',
      '|',
      '^',
      ':',
      '<',
      '=',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const source = parts.join('');
        if (refusal(() => parseRegex(source)) === null) patternText(parseRegex(source), new Map(), drawsOf(1));
      }),
      { numRuns: 500 },
    );
  });
});

describe('grammars', () => {
  const textOf = (source: string, seed: number): string => {
    const { root, rules } = parseGrammar(source);
    return patternText(root, rules, drawsOf(seed));
  };

  it.each(real.grammars)('%j: %s', (source, message) => {
    expect(refusal(() => parseGrammar(source))).toBe(message);
  });

  it.each([
    [
      'root ::= select\nselect ::= "SELECT " column " from " table\ncolumn ::= "a" | "b"\ntable ::= "t"',
      /^SELECT [ab] from t$/,
    ],
    ['root ::= "a" [a-z]{2,3} (x | "y")*\nx ::= "z"+ # c', /^a[a-z]{2,3}(?:z+|y)*$/],
    ['start: greeting name\ngreeting: "hello " | "bye "\nname: /[A-Z][a-z]+/', /^(?:hello|bye) [A-Z][a-z]+$/],
    ['root ::= "(" root ")" | "x"', /^\(*x\)*$/],
    ['\n\nroot ::=\n "a"\n | "b"\n', /^[ab]$/],
  ])('%j gives texts of it', (source, expected) => {
    for (let seed = 0; seed < 50; seed += 1) expect(textOf(source, seed)).toMatch(expected);
  });

  it('come to an end where they can, and stay empty where they cannot', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      expect(textOf('root ::= root root root | "x"', seed)).toMatch(/^x+$/);
      expect(textOf('root ::= "a" root', seed)).toBe('');
    }
  });
});

describe('structured outputs', () => {
  let server: ServedInProcess;
  beforeAll(async () => {
    server = await serveInProcess();
  });
  afterAll(async () => {
    await server.stop();
  });
  const complete = async (structured_outputs: unknown) => {
    const response = await fetch(`${server.baseUrl}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'Date?', structured_outputs, max_tokens: 100, temperature: 0 }),
      headers: { 'content-type': 'application/json' },
    });
    return response.json();
  };

  it('shape the answer', async () => {
    const regex = '[0-9]{4}-(0[1-9]|1[0-2])';
    const first = z.looseObject({ choices: z.array(z.unknown()) }).parse(await complete({ regex }));
    expect(first).toMatchObject({ choices: [{ finish_reason: 'stop', text: expect.stringMatching(`^${regex}$`) }] });
    expect(await complete({ regex })).toMatchObject({ choices: first.choices });
    expect(await complete({ grammar: 'root ::= "yes" | "no"' })).toMatchObject({
      choices: [{ text: expect.stringMatching(/^(?:yes|no)$/) }],
    });
  });

  it.each([
    [{ regex: '(' }, /^Grammar error: at 1\(8\): invalid regex "\("/, null],
    [{ grammar: 'x' }, /^Failed to convert the grammar from GBNF to Lark: Expected ::= at line 1, 'x' \^ ''$/, null],
    [{ grammar: ' ' }, /^structured_outputs\.grammar cannot be an empty string$/, null],
    [
      {},
      /You must use one kind of structured outputs constraint but none are specified: \{'json': None, /,
      'body.structured_outputs',
    ],
    [
      { regex: 'a', grammar: 'b' },
      /multiple are specified: \{'json': None, 'regex': 'a', 'choice': None, 'grammar': 'b'/,
      'body.structured_outputs',
    ],
    [
      { regex: 3 },
      /'loc': \('body', 'structured_outputs', 'regex'\), 'msg': 'Input should be a valid string'/,
      'body.structured_outputs.regex',
    ],
  ])('refuses %j', async (given, message, param) => {
    expect(await complete(given)).toMatchObject({
      error: { message: expect.stringMatching(message), param, code: 400 },
    });
  });
});
