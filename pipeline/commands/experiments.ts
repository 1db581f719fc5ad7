import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openEngineHost, runId } from '../../experiments/engine-host.js';
import { external } from '../../experiments/suite/build.js';
import {
  loadFunctions,
  type NamedFunction,
  TestFileError,
  whereItThrew,
} from '../../experiments/suite/load-functions.js';
import {
  type FunctionResult,
  type PlannedFunction,
  planFunctions,
  runSuite,
} from '../../experiments/suite/run-suite.js';
import { interruptExitCodes } from '../../results-schema/run-verdict.js';
import { raisePriority } from '../../simulator/priority.js';
import { rehearse } from '../../workloads/rehearsal.js';
import type { Command } from '../cli.js';
import { didYouMean } from '../config/suggest.js';
import { listenForInterruption } from '../interruption.js';
import { packageVersion } from '../package-version.js';
import { UsageError } from '../usage-error.js';
import { ExperimentsReporter } from './experiments-reporter.js';
import { addEngineFlags, type ExperimentSettings, readEngineSettings } from './experiments-settings.js';
import { differencesTable } from './experiments-table.js';

const defaultFilter = 'test_';
const defaultModel = 'mistralai/Mistral-7B-Instruct-v0.2';
const defaultPorts = [8000, 8001];
const defaultCachePorts = [65_431, 65_430];
const defaultSentinelPorts = [26_379, 26_380, 26_381];
/** More engines than were thought of take the next ports. */
const mostEngines = 8;

/** `lmcache-ci experiments FILE`: runs a file's test functions, N engines under one workload each, into CSV files. */
export const experimentsCommand: Command = {
  async build(parser) {
    parser
      .usage('$0 experiments <file> [options]\n\nExecute all test functions in a given TypeScript or JavaScript file.')
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'The file to execute functions from (with its folder)',
      })
      .option('filter', {
        alias: 'f',
        type: 'string',
        requiresArg: true,
        describe: `Pattern (regular expression) to filter which functions to execute [default: ${defaultFilter}]`,
      })
      .option('list', {
        alias: 'l',
        type: 'boolean',
        default: false,
        describe: 'List all functions in the file without executing them',
      })
      .option('output-dir', {
        alias: 'o',
        type: 'string',
        requiresArg: true,
        default: 'outputs/',
        describe: 'The directory to put the output files',
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
        describe: 'Print for each engine pair the ratio it demonstrates; exit code 1 where it shows none',
      })
      .option('extra-columns', { type: 'boolean', default: false, describe: 'Add latency to the CSV' })
      .option('seed', {
        type: 'string',
        requiresArg: true,
        describe: 'Decides every prompt; the files beside the CSVs say which one was used',
      })
      .example('$0 experiments tests/tests.ts -o outputs/', 'all test functions, output to outputs/')
      .example('$0 experiments tests/tests.ts -l', 'list the tests')
      .example('$0 experiments tests/tests.ts -f cachegen', 'tests whose name matches a pattern')
      .example('$0 experiments tests/tests.ts -m "meta-llama/Llama-3.1-8B-Instruct"', 'with llama')
      .example('ENGINE=sim SIM_SPEED=20 $0 experiments tests/tests.ts --table', 'on the simulator, what each shows')
      .epilogue(
        'Exit codes: 0 all measured, 1 requests failed or a difference was not shown (--table), 2 usage, 3 no verdict (an engine did not start), 130/143/129 interrupted: the CSV has what was measured.',
      );
    return addEngineFlags(parser);
  },

  async run(parsed) {
    const file = String(parsed['file']);
    const functions = await chooseFunctions(file, typeof parsed['filter'] === 'string' ? parsed['filter'] : null);
    if (parsed['list'] === true) {
      process.stdout.write(functions.map(({ name }) => `${name}\n`).join(''));
      return 0;
    }
    const givenModel = typeof parsed['model'] === 'string' ? parsed['model'] : null;
    const model = givenModel ?? defaultModel;
    const ports = withNextPorts(readPorts('-p', parsed['port'], defaultPorts));
    const cachePorts = readPorts('--cache-port', parsed['cachePort'], defaultCachePorts);
    const sentinelPorts = readPorts('--sentinel-port', parsed['sentinelPort'], defaultSentinelPorts);
    const urls = Array.isArray(parsed['url']) ? parsed['url'].map(String) : [];
    const seed = readSeed(parsed['seed']);
    const settings = await readEngineSettings(parsed, model);
    const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-experiments-'));
    try {
      const explain = (error: unknown) => whereItThrew(error, path.resolve(file));
      const simulated = settings.launch.engine === 'sim';
      const settingsOfFunctions = { model, ports, cachePorts, sentinelPorts, directory, simulated };
      const planned = await planFunctions(functions, settingsOfFunctions, explain).catch((error: unknown) => {
        throw new UsageError(`${error instanceof Error ? error.message : error}. Nothing was started.`);
      });
      return await measure(withServers(planned, urls), settings, {
        file,
        directory,
        ports,
        seed,
        outputDirectory: path.resolve(String(parsed['outputDir'])),
        modelSuffix: givenModel === null ? null : (givenModel.split('/')[0] ?? givenModel),
        extraColumns: parsed['extraColumns'] === true,
        wantsTable: parsed['table'] === true,
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

interface MeasureOptions {
  readonly file: string;
  readonly directory: string;
  readonly ports: readonly number[];
  readonly seed: number;
  readonly outputDirectory: string;
  readonly modelSuffix: string | null;
  readonly extraColumns: boolean;
  readonly wantsTable: boolean;
}

async function measure(
  functions: readonly PlannedFunction[],
  settings: ExperimentSettings,
  options: MeasureOptions,
): Promise<number> {
  const reporter = new ExperimentsReporter(process.stdout);
  const { launch } = settings;
  if (launch.simulator !== null) {
    const why = settings.simulatedBecause === null ? '' : `: ${settings.simulatedBecause}`;
    const { profile, speed } = launch.simulator;
    reporter.line(`SIMULATED (profile "${profile}", speed x${speed})${why}`);
  }
  const interruption = listenForInterruption((name, first) => {
    reporter.line(first ? `${name}: ending the engines ...` : 'still ending the engines, please wait ...');
  });
  const host = await openEngineHost({
    id: runId('experiments'),
    engine: launch.engine,
    runtime: launch.runtime,
    directory: options.directory,
    ports: Object.fromEntries(options.ports.map((port, index) => [`engine-${index}`, port])),
    signal: interruption.signal,
  });
  try {
    if (launch.engine === 'sim') raisePriority();
    await rehearse(interruption.signal);
    const results = await runSuite({
      ...options,
      functions,
      host,
      launch,
      minFreeGpuMiB: settings.minFreeGpuMiB,
      readySeconds: settings.readySeconds,
      version: packageVersion(),
      signal: interruption.signal,
      reporter,
    });
    return conclude(results, reporter, options.wantsTable);
  } catch (error) {
    const interrupted = interruption.interruptedBy();
    if (interrupted !== null) return interruptExitCodes[interrupted];
    throw error;
  } finally {
    const { problems } = await host.close();
    for (const problem of problems) reporter.line(`not cleaned up: ${problem}`);
    interruption.dispose();
  }
}

function conclude(results: readonly FunctionResult[], reporter: ExperimentsReporter, wantsTable: boolean): number {
  if (wantsTable) reporter.line(`\n${differencesTable(results)}`);
  const failures = results.flatMap(({ name, failures }) => failures.map((failure) => ({ name, ...failure })));
  if (failures.length > 0) {
    reporter.line(`\n${failures.length} ${failures.length === 1 ? 'experiment' : 'experiments'} failed:`);
    for (const { name, experimentId, message } of failures) {
      reporter.line(`  ${name}, experiment ${experimentId}: ${message.split('\n')[0]}`);
    }
  }
  const missing = results.flatMap(({ differences }) => differences.filter(({ isShown }) => !isShown));
  if (failures.some(({ measured }) => measured) || (wantsTable && missing.length > 0)) return 1;
  return failures.length > 0 ? 3 : 0;
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
      : `No function of "${file}" matches "${filter ?? defaultFilter}"${meant ? `, did you mean ${meant}?` : ''} ` +
          `It has: ${names.join(', ')}. Nothing was started.`,
  );
}

function readPattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UsageError(`-f "${text}" is no regular expression: ${error instanceof Error ? error.message : error}`);
  }
}

function readPorts(flag: string, given: unknown, defaults: readonly number[]): readonly number[] {
  const texts = Array.isArray(given) ? given.map(String) : [];
  const bad = texts.filter((text) => !/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65_535);
  if (bad.length > 0) {
    throw new UsageError(`${flag} ${bad.map((text) => `"${text}"`).join(', ')}: expected ports from 1 to 65535.`);
  }
  return texts.length > 0 ? texts.map(Number) : defaults;
}

function withNextPorts(given: readonly number[]): readonly number[] {
  const ports = [...given];
  while (ports.length < mostEngines && Math.max(...ports) < 65_535) ports.push(Math.max(...ports) + 1);
  return ports;
}

function readSeed(given: unknown): number {
  if (given === undefined) return randomInt(2 ** 31);
  const seed = Number(given);
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31) return seed;
  throw new UsageError(`--seed "${String(given)}": expected a whole number from 0 to 2147483647.`);
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
