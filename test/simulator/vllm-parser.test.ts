import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type FlagSpec, HelpRequested, parseArguments, UsageError } from '../../simulator/argparse.js';
import { EngineConfigError } from '../../simulator/engine-config-error.js';
import { flexibleArguments } from '../../simulator/flexible-arguments.js';
import { pydanticJsonError } from '../../simulator/pydantic-json-error.js';
import { parseVllmServe, VLLM_SERVE_PARSER } from '../../simulator/vllm-args.js';
import { VLLM_SERVE_FLAGS } from '../../simulator/vllm-flags.js';

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/vllm-0.26/${name}`, import.meta.url), 'utf8'));

const optionSchema = z.object({
  names: z.array(z.string()),
  action: z.string(),
  nargs: z.string().optional(),
  type: z.string().optional(),
  choices: z.array(z.union([z.string(), z.number()])).optional(),
});
const caseSchema = z.object({
  argv: z.array(z.string()),
  files: z.record(z.string(), z.string()).default({}),
  exit: z.number(),
  stderr: z.string().optional(),
  raised: z.string().optional(),
  values: z.record(z.string(), z.unknown()).default({}),
});
/** What vLLM 0.26's own parser said of itself, and made of command lines. */
const real = z.object({ options: z.array(optionSchema), cases: z.array(caseSchema) }).parse(fixture('parser.json'));

/** The converter of the real parser, by the kind of flag here. */
const CONVERTERS: Readonly<Record<string, string>> = {
  text: 'str',
  integer: 'int',
  number: 'float',
  count: 'human_readable_int',
  'count-or-auto': 'human_readable_int_or_auto',
  json: 'loads',
  'object-or-text': 'union_dict_and_str',
  'dashed-name': '<lambda>',
  'device-ids': '<lambda>',
  list: 'str',
  repeat: 'str',
  'optional-text': 'str',
};

function converterOf(spec: FlagSpec): string | undefined {
  const { kind, items, config } = spec;
  const own = config !== undefined ? `dataclass:${config}` : items === 'integer' ? 'int' : CONVERTERS[kind];
  return own === undefined ? undefined : `${spec.optional ? 'optional:' : ''}${spec.wrapped ? 'parse:' : ''}${own}`;
}

function actionOf({ kind }: FlagSpec): string {
  if (kind === 'toggle') return 'BooleanOptional';
  if (kind === 'switch') return 'StoreTrue';
  return kind === 'repeat' ? 'Append' : 'Store';
}

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'vllm-parser-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A file's name in the recording is a path here. */
function localised(argument: string, files: Readonly<Record<string, string>>): string {
  const name = argument.replace('--config=', '');
  return name in files ? argument.replace(name, path.join(directory, name)) : argument;
}

describe("the flags' table against the real parser's own", () => {
  it('has the same flags in the same order', () => {
    const names = real.options.flatMap(({ names: [first] }) => (first === undefined ? [] : [first.slice(2)]));
    expect(names).toHaveLength(274);
    expect(Object.keys(VLLM_SERVE_FLAGS)).toEqual(['help', ...names]);
  });

  it.each(real.options.filter(({ names }) => names.length > 0))(
    '$names.0',
    ({ names, action, nargs, type, choices }) => {
      const spec = VLLM_SERVE_FLAGS[names[0]?.slice(2) ?? ''];
      if (spec === undefined) throw new Error('missing');
      expect(spec.aliases ?? []).toEqual(names.slice(1).filter((name) => !name.startsWith('--no-')));
      expect(actionOf(spec)).toBe(action.replace('LoRAParser', 'Store'));
      expect(spec.choices).toEqual(choices);
      expect(spec.kind === 'list' ? '+' : spec.kind === 'optional-text' ? '?' : undefined).toBe(nargs);
      expect(converterOf(spec)).toBe(type?.replace('optional:parse:loads', 'optional:loads'));
    },
  );
});

describe('command lines, as the real parser read them', () => {
  it.each(real.cases.map((one) => ({ ...one, shown: one.argv.join(' ') })))('$shown', (recorded) => {
    const { argv, files, exit, stderr, raised, values } = recorded;
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(directory, name), text);
    const given = argv.map((argument) => localised(argument, files));
    const parse = () => parseArguments(VLLM_SERVE_PARSER, flexibleArguments(given, true));
    if (exit === 0) {
      const { positionals, values: parsed } = parse();
      const ours = Object.fromEntries([...parsed].map(([name, value]) => [name.replaceAll('-', '_'), value]));
      if (positionals[0] !== undefined) ours.model = positionals[0];
      for (const [name, value] of Object.entries(values)) {
        if (name === 'model_tag') continue;
        const own = ours[name];
        if (value === 'NaN') expect(own).toBeNaN();
        else if (JSON.stringify(value).includes('<dataclass>')) expect(own).toBeTypeOf('object');
        else expect(typeof own === 'string' ? own.replace(`${directory}/`, '') : own).toEqual(value);
      }
      return;
    }
    const expected = stderr?.trimEnd() ?? raised ?? '';
    try {
      parseVllmServe(VLLM_SERVE_PARSER, given);
    } catch (error) {
      expect(error instanceof UsageError ? 2 : 1).toBe(exit);
      if (error instanceof UsageError) expect(error.message).toBe(expected);
      else if (error instanceof EngineConfigError) expect(`${error.kind}: ${error.message}`).toBe(expected);
      else throw error;
      return;
    }
    throw new Error('accepted');
  });

  it('prints its flags when it is asked for help', () => {
    expect(() => parseVllmServe(VLLM_SERVE_PARSER, ['--help'])).toThrow(HelpRequested);
    expect(() => parseVllmServe(VLLM_SERVE_PARSER, ['m', '-h'])).toThrow(
      /^usage: vllm serve \[model_tag\] \[options\]\n.*--tensor-parallel-size, -tp\n/s,
    );
  });
});

describe('JSON that pydantic refuses', () => {
  const recorded = z.array(z.tuple([z.string(), z.string().nullable()])).parse(fixture('pydantic-json-errors.json'));

  it.each(recorded)('%j: %s', (text, message) => {
    expect(pydanticJsonError(text)).toBe(message?.replace('Invalid JSON: ', '') ?? null);
  });

  it('is what JSON.parse refuses, but for NaN and Infinity', () => {
    const cut = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '}', ']', '"', '\\', 'x', '1'))
      .map(
        ([json, at, extra]) => json.slice(0, at % (json.length + 1)) + extra + json.slice((at % (json.length + 1)) + 1),
      );
    fc.assert(
      fc.property(fc.oneof(fc.json(), cut), (text) => {
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect(pydanticJsonError(text) === null).toBe(isJson);
      }),
    );
  });
});

describe('any command line', () => {
  it('is read, or refused in the words of the parser', () => {
    const names = Object.keys(VLLM_SERVE_FLAGS);
    const flag = fc
      .constantFrom(...names)
      .chain((name) =>
        fc.constantFrom(
          `--${name}`,
          `--${name.replaceAll('-', '_')}`,
          `--no-${name}`,
          `--${name.slice(0, 7)}`,
          `--${name}.x`,
        ),
      );
    const word = fc.oneof(
      flag,
      fc.constantFrom('m', '1', '-1', '', '{}', '{"a": 1}', 'None', '-x', '16k', 'auto', '='),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
        try {
          parseVllmServe(VLLM_SERVE_PARSER, argv);
        } catch (error) {
          if (error instanceof HelpRequested) return;
          expect(error instanceof UsageError || error instanceof EngineConfigError, String(error)).toBe(true);
        }
      }),
    );
  });

  it('gives the same with underscores, and with = in place of a space', () => {
    const numbers = Object.entries(VLLM_SERVE_FLAGS).filter(([, { kind, choices }]) => kind === 'integer' && !choices);
    fc.assert(
      fc.property(fc.constantFrom(...numbers.map(([name]) => name)), fc.nat(), (name, value) => {
        const read = (...argv: string[]) =>
          parseArguments(VLLM_SERVE_PARSER, flexibleArguments(['m', ...argv], true)).values.get(name);
        expect(read(`--${name}`, String(value))).toBe(value);
        expect(read(`--${name}=${value}`)).toBe(value);
        expect(read(`--${name.replaceAll('-', '_')}`, String(value))).toBe(value);
      }),
    );
  });
});
