import { readFileSync } from 'node:fs';
import { parse as parseYaml, type ScalarTag } from 'yaml';
import { ArgumentTypeError } from './argparse.js';
import { humanReadableInt } from './argument-values.js';
import { EngineConfigError } from './engine-config-error.js';
import { spacedJson } from './http/schema-instance.js';

/** PyYAML's, which leaves `y` and `n` to be words. */
const YAML_WORDS: readonly ScalarTag[] = [
  { tag: 'tag:yaml.org,2002:str', default: true, test: /^[yYnN]$/, resolve: (text) => text },
];

/**
 * What vLLM's FlexibleArgumentParser makes of a command line before argparse sees it: `--model M` becomes the
 * positional, `--config FILE` the file's flags, underscores dashes, `--a.b c` JSON at the end, `-O3` its long form.
 * @param isServe `vllm serve` rather than the module's own program.
 * @throws EngineConfigError
 */
export function flexibleArguments(argv: readonly string[], isServe: boolean): readonly string[] {
  const placed = isServe ? withModelFirst(argv) : argv;
  const complete = placed.includes('--config') ? withConfigFile(placed, isServe) : placed;
  return withDottedAsJson(complete.flatMap((argument, index) => dashed(argument, complete[index + 1])));
}

function withModelFirst(argv: readonly string[]): readonly string[] {
  const at = argv.findIndex((argument) => /^--model(=.+|$)/.test(argument));
  let placed = argv;
  if (at >= 0) {
    const argument = argv[at] ?? '';
    const isApart = argument === '--model';
    const model = isApart ? argv[at + 1] : argument.slice('--model='.length);
    if (model === undefined) throw new EngineConfigError('list index out of range', 'IndexError');
    placed = [model, ...argv.slice(0, at), ...argv.slice(at + (isApart ? 2 : 1))];
  }
  const hasConfig = placed.some((argument) => /^--config(=.+|$)/.test(argument));
  const hasName = placed.some((argument) => /^--served[-_]model[-_]name(=.+|$)/.test(argument));
  if (placed[0]?.startsWith('-') && hasName && !hasConfig) {
    throw new EngineConfigError(
      '`model` should be provided as the first positional argument when using `vllm serve`. i.e. `vllm serve <model> --<arg> <value>`.',
    );
  }
  return placed;
}

function withConfigFile(argv: readonly string[], isServe: boolean): readonly string[] {
  if (argv.filter((argument) => argument === '--config').length > 1) {
    throw new EngineConfigError('More than one config file specified!', 'AssertionError');
  }
  const at = argv.indexOf('--config');
  const path = argv[at + 1];
  if (path === undefined) {
    throw new EngineConfigError('No config file specified! Please check your command-line arguments.');
  }
  const fromFile = readConfigFile(path);
  const before = argv.slice(0, at);
  const after = argv.slice(at + 2);
  // The file's flags come first, so that those of the command line win.
  const model = argv[0] ?? '-';
  if (model.startsWith('-')) {
    if (isServe && !fromFile.includes('--model')) {
      throw new EngineConfigError(
        'No model specified! Please specify model either as a positional argument or in a config file.',
      );
    }
    return [...fromFile, ...before, ...after];
  }
  return [model, ...fromFile, ...before.slice(1), ...after];
}

function readConfigFile(path: string): readonly string[] {
  const extension = path.split('.').at(-1) ?? '';
  if (extension !== 'yaml' && extension !== 'yml') {
    throw new EngineConfigError(`Config file must be of a yaml/yml type. ${extension} supplied`);
  }
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isMissing) throw new EngineConfigError(`[Errno 2] No such file or directory: '${path}'`, 'FileNotFoundError');
    throw new EngineConfigError(error instanceof Error ? error.message : String(error), 'OSError');
  }
  const config = readYaml(text);
  return Object.entries(config).flatMap(([key, value]) => configured(key, value));
}

function readYaml(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseYaml(text, { version: '1.1', customTags: (tags) => [...YAML_WORDS, ...tags] });
  } catch (error) {
    throw new EngineConfigError(error instanceof Error ? error.message : String(error), 'yaml.YAMLError');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new EngineConfigError(
    `'${value === null ? 'NoneType' : typeof value}' object has no attribute 'items'`,
    'AttributeError',
  );
}

function configured(key: string, value: unknown): readonly string[] {
  const flag = `--${key}`;
  if (value === true) return [flag];
  // A false switch is left out, as vLLM 0.26 does it.
  if (value === false) return [];
  if (Array.isArray(value)) return value.length > 0 ? [flag, ...value.map(pythonText)] : [];
  if (typeof value === 'object' && value !== null) return [flag, spacedJson(value)];
  return [flag, pythonText(value)];
}

function pythonText(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return String(value);
}

function dashed(argument: string, next: string | undefined): readonly string[] {
  if (argument.startsWith('--')) {
    const equals = argument.indexOf('=');
    const key = equals < 0 ? argument : argument.slice(0, equals);
    const dot = key.indexOf('.');
    const name = dot < 0 ? key : key.slice(0, dot);
    return [name.replaceAll('_', '-') + argument.slice(name.length)];
  }
  if (argument.startsWith('-O') && argument !== '-O') {
    return ['--optimization-level', argument.slice(argument[2] === '=' ? 3 : 2)];
  }
  if (argument === '-O' && /^[0-3]$/.test(next ?? '')) return ['--optimization-level'];
  return [argument];
}

type Json = { [key: string]: unknown };

/** `--a.b c` and `--a.d+ e,f` of one flag become its JSON, which comes last and so replaces what was given whole. */
function withDottedAsJson(argv: readonly string[]): readonly string[] {
  const kept: string[] = [];
  const objects = new Map<string, Json>();
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] ?? '';
    const equals = argument.indexOf('=');
    const path = equals < 0 ? argument : argument.slice(0, equals);
    if (!argument.startsWith('-') || !path.includes('.')) {
      kept.push(argument);
      continue;
    }
    const value = equals < 0 ? argv[index + 1] : argument.slice(equals + 1);
    // As in vLLM, where a negative fraction as a flag's value ends here too.
    if (value === undefined) throw new EngineConfigError('list index out of range', 'IndexError');
    if (equals < 0) index += 1;
    const isList = path.endsWith('+');
    const [flag = '', ...keys] = (isList ? path.slice(0, -1) : path).split('.');
    const root = objects.get(flag) ?? {};
    objects.set(flag, root);
    const leaf = isList ? value.split(',') : dottedValue(value);
    merge(
      root,
      keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), leaf),
    );
  }
  return [...kept, ...[...objects].flatMap(([flag, object]) => [flag, spacedJson(object)])];
}

function merge(target: Json, update: unknown): void {
  if (!isJson(update)) return;
  for (const [key, value] of Object.entries(update)) {
    const before = target[key];
    if (isJson(value) && isJson(before)) merge(before, value);
    else if (Array.isArray(value) && Array.isArray(before)) before.push(...value);
    else target[key] = value;
  }
}

function dottedValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return suffixed(text) ?? text;
  }
}

function suffixed(text: string): number | undefined {
  try {
    return humanReadableInt(text);
  } catch (error) {
    if (error instanceof ArgumentTypeError) return undefined;
    throw error;
  }
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
