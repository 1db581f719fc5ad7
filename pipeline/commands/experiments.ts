import { rmSync } from 'node:fs';
import path from 'node:path';
import { whyUnreachable } from '../../engines/unreachable.js';
import { external } from '../../experiments/suite/build.js';
import {
  loadFunctions,
  type NamedFunction,
  TestFileError,
  whereItThrew,
} from '../../experiments/suite/load-functions.js';
import { type FunctionResult, type PlannedFunction, planFunctions } from '../../experiments/suite/run-suite.js';
import type { Command } from '../cli.js';
import { didYouMean } from '../config/suggest.js';
import { describeExitCodes } from '../exit-codes.js';
import { NoVerdictError, UsageError } from '../usage-error.js';
import type { ExperimentsReporter } from './experiments-reporter.js';
import { defaultModel, newRun, readModel, readPorts, readSeed, runFunctions } from './experiments-run.js';
import { addEngineFlags, configureEngines, readEngineSettings } from './experiments-settings.js';
import { differencesTable } from './experiments-table.js';
import { FlagProblems } from './flag-problems.js';

const defaultFilter = 'test_';
const defaultPorts = [8000, 8001];
const defaultCachePorts = [65_431, 65_430];
const defaultSentinelPorts = [26_379, 26_380, 26_381];
/** More engines than were thought of take the next ports. */
const mostEngines = 8;

/** `lmcache-ci experiments FILE`: runs a file's test functions, N engines under one workload each, into CSV files. */
export const experimentsCommand: Command = {
  async build(parser) {
    parser
      .usage(
        '$0 experiments <file> [options]\n\nRuns the test functions of a TypeScript or JavaScript file: N engines under one workload, one CSV a function.',
      )
      .positional('file', {
        type: 'string',
        describe: 'The file of test functions, with its folder',
      })
      .option('filter', {
        alias: 'f',
        type: 'string',
        requiresArg: true,
        describe: `Only the functions whose names match this regular expression [default: ${defaultFilter}]`,
      })
      .option('list', {
        alias: 'l',
        type: 'boolean',
        default: false,
        describe: 'List the functions, run none',
      })
      .option('output-dir', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        default: 'outputs/',
        describe: 'Where the CSV files go',
      })
      .option('model', {
        alias: 'm',
        type: 'string',
        requiresArg: true,
        describe: `The model of the engines of every function [default: ${defaultModel}]; its owner becomes part of the file names`,
      })
      .option('port', {
        alias: 'p',
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `The engines' ports [default: ${defaultPorts.join(' ')}, ...]`,
      })
      .option('cache-port', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `Ports for LMCache's remote servers [default: ${defaultCachePorts.join(' ')}]`,
      })
      .option('sentinel-port', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `Ports for Redis Sentinel [default: ${defaultSentinelPorts.join(' ')}]`,
      })
      .option('url', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Servers that run already, in place of the engines, in their order',
      })
      .option('table', {
        type: 'boolean',
        default: false,
        describe:
          'Print for each engine pair the ratio it demonstrates; exit code 1 where it shows none. What a busy machine leaves unclear is measured again, twice at most',
      })
      .option('extra-columns', { type: 'boolean', default: false, describe: 'Add latency to the CSV' })
      .option('seed', {
        type: 'string',
        requiresArg: true,
        describe:
          'Decides every prompt; NAME.json beside each CSV says which one was used [default: another one each time]',
      })
      .example('$0 experiments tests/tests.ts -o outputs/', 'all test functions, into outputs/')
      .example('$0 experiments tests/tests.ts -l', 'list the tests')
      .example('$0 experiments tests/tests.ts -f cachegen', 'those whose name matches')
      .example('$0 experiments tests/tests.ts -m "meta-llama/Llama-3.1-8B-Instruct"', 'with llama')
      .example('ENGINE=sim SIM_SPEED=20 $0 experiments tests/tests.ts --table', 'on the simulator, what each shows')
      .epilogue(
        describeExitCodes({
          0: 'all measured',
          1: 'requests failed, or with --table a difference was not shown',
          3: 'no verdict: an engine did not start, or this client was too slow to judge',
          interrupted: 'the CSV has what was measured',
        }),
      );
    return addEngineFlags(parser);
  },

  async check(parsed) {
    readFlags(parsed);
  },

  async run(parsed) {
    const file = parsed['file'];
    if (typeof file !== 'string') {
      throw new UsageError('Which test file? E.g. lmcache-ci experiments tests/tests.ts -l; it goes before -p.');
    }
    const { givenModel, ports, cachePorts, sentinelPorts, seed, urls } = readFlags(parsed);
    const functions = await chooseFunctions(file, typeof parsed['filter'] === 'string' ? parsed['filter'] : null);
    if (parsed['list'] === true) {
      process.stdout.write(functions.map(({ name }) => `${name}\n`).join(''));
      return 0;
    }
    const model = givenModel ?? defaultModel;
    await requireServers(urls);
    const settings = await readEngineSettings(parsed, model);
    const outputDirectory = path.resolve(String(parsed['outputDir']));
    const { id, directory } = newRun(outputDirectory);
    try {
      const explain = (error: unknown) => whereItThrew(error, path.resolve(file));
      const simulated = settings.launch.engine === 'sim';
      const settingsOfFunctions = { model, ports, cachePorts, sentinelPorts, directory, simulated };
      const planned = await planFunctions(functions, settingsOfFunctions, explain).catch((error: unknown) => {
        throw new UsageError(`${error instanceof Error ? error.message : error}. Nothing was started.`);
      });
      return await runFunctions(withServers(planned, urls), settings, {
        file,
        directory,
        ports,
        seed,
        id,
        outputDirectory,
        modelSuffix: givenModel === null ? null : (givenModel.split('/')[0] ?? givenModel),
        extraColumns: parsed['extraColumns'] === true,
        repeatsUnclear: parsed['table'] === true,
        conclude: (results, reporter) => (parsed['table'] === true ? concludeWithTable(results, reporter) : null),
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

/** @throws UsageError with all that is wrong with flags and settings */
function readFlags(parsed: Readonly<Record<string, unknown>>) {
  const problems = new FlagProblems();
  const ports = (flag: string, name: string, defaults: readonly number[]) =>
    problems.read(() => readPorts(flag, parsed[name], defaults), defaults);
  const flags = {
    givenModel: problems.read(() => readModel(parsed['model']), undefined) ?? null,
    ports: withNextPorts(ports('-p', 'port', defaultPorts)),
    cachePorts: ports('--cache-port', 'cachePort', defaultCachePorts),
    sentinelPorts: ports('--sentinel-port', 'sentinelPort', defaultSentinelPorts),
    seed: problems.read(() => readSeed(parsed['seed']), 0),
    urls: problems.read(() => readUrls(parsed['url']), []),
  };
  problems.read(() => configureEngines(parsed), null);
  problems.throwIfAny();
  return flags;
}

function readUrls(given: unknown): readonly string[] {
  const urls = Array.isArray(given) ? given.map(String) : [];
  const bad = urls.find((url) => !/^https?:\/\/[^/]/.test(url) || !URL.canParse(url));
  if (bad === undefined) return urls;
  throw new UsageError(`--url "${bad}": expected a URL such as http://gpu-1:8000.`);
}

/** @throws NoVerdictError for servers that are not there, before others are started beside them */
async function requireServers(urls: readonly string[]): Promise<void> {
  const problems = await Promise.all(
    urls.map(async (url) => {
      const why = await whyUnreachable(url, new AbortController().signal);
      return why === null ? [] : [`--url "${url}" cannot be reached: ${why}.`];
    }),
  );
  const lines = problems.flat();
  if (lines.length === 0) return;
  throw new NoVerdictError(`${lines.join('\n')}\nStart the server first, or name where it is. Nothing was started.`);
}

/** What was to be shown and was not is a failure of the code under test, unless the client was too slow to tell. */
function concludeWithTable(results: readonly FunctionResult[], reporter: ExperimentsReporter): number | null {
  reporter.line(`\n${differencesTable(results)}`);
  const outcomes = results.flatMap(({ differences }) => differences.map(({ outcome }) => outcome));
  if (outcomes.includes('not shown')) return 1;
  return outcomes.includes('unclear') ? 3 : null;
}

/** @throws UsageError for a file that cannot be loaded, a pattern that is none, and one that nothing matches. */
async function chooseFunctions(file: string, filter: string | null): Promise<readonly NamedFunction[]> {
  const pattern = readPattern(filter ?? defaultFilter);
  const functions = await loadFunctions(file).catch((error: unknown) => {
    if (error instanceof TestFileError) throw new UsageError(`${error.message}\nNothing was started.`);
    throw error;
  });
  const chosen = functions.filter(({ name }) => pattern.test(name));
  if (chosen.length > 0) return chosen;
  const names = functions.map(({ name }) => name);
  const meant = filter === null ? null : didYouMean(filter, names);
  throw new UsageError(
    names.length === 0
      ? `The test file "${file}" exports no functions. Nothing was started.`
      : `No function of "${file}" matches "${filter ?? defaultFilter}"${meant ? `, did you mean ${meant}?` : '.'} ` +
          `It has: ${names.join(', ')}. Nothing was started.`,
  );
}

function readPattern(text: string): RegExp {
  if (text === '')
    throw new UsageError('-f "" is empty, which would match every function: leave it out, or name some.');
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`-f "${text}" is no regular expression: ${error instanceof Error ? error.message : error}`);
  }
}

function withNextPorts(given: readonly number[]): readonly number[] {
  const ports = [...given];
  while (ports.length < mostEngines && Math.max(...ports) < 65_535) ports.push(Math.max(...ports) + 1);
  return ports;
}

/** Running servers in place of the first engines of every test case. */
function withServers(functions: readonly PlannedFunction[], urls: readonly string[]): readonly PlannedFunction[] {
  if (urls.length === 0) return functions;
  return functions.map(({ name, cases }) => ({
    name,
    cases:
      cases?.map((testCase) => ({
        ...testCase,
        engines: testCase.engines.map((engine, index) => {
          const url = urls[index];
          if (url === undefined) return engine;
          const { label, model } = engine;
          return external(url, { ...(label ? { label } : {}), ...(model ? { model } : {}) });
        }),
      })) ?? null,
  }));
}
