import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { openEngineHost, runId } from '../../experiments/engine-host.js';
import { type FunctionResult, type PlannedFunction, runSuite } from '../../experiments/suite/run-suite.js';
import { interruptExitCodes } from '../../results-schema/interrupt-signals.js';
import { raisePriority } from '../../simulator/priority.js';
import { commonSettings } from '../../steps/common-settings.js';
import { rehearse } from '../../workloads/rehearsal.js';
import { listenForInterruption } from '../interruption.js';
import { packageVersion } from '../package-version.js';
import { UsageError } from '../usage-error.js';
import { ExperimentsReporter } from './experiments-reporter.js';
import type { ExperimentSettings } from './experiments-settings.js';
import { checkOutputFolder } from './output-path.js';

export const defaultModel = 'mistralai/Mistral-7B-Instruct-v0.2';

/**
 * A run's name, and the hidden directory in its output directory where its own files lie until it ends.
 * @throws UsageError where the output directory cannot be written to
 */
export function newRun(outputDirectory: string): { readonly id: string; readonly directory: string } {
  const id = runId('experiments');
  const directory = path.join(outputDirectory, `.${id}`);
  checkOutputFolder('-o', outputDirectory);
  mkdirSync(directory);
  return { id, directory };
}

/** One run of test functions. */
export interface RunOptions {
  readonly id: string;
  readonly file: string;
  readonly directory: string;
  readonly ports: readonly number[];
  readonly seed: number;
  readonly outputDirectory: string;
  readonly modelSuffix: string | null;
  readonly extraColumns: boolean;
  /** Whether an experiment that a busy machine leaves unclear is measured again. */
  readonly repeatsUnclear: boolean;
  /** Says what came of it. @returns an exit code, null: 0 where nothing failed */
  conclude(results: readonly FunctionResult[], reporter: ExperimentsReporter): number | null;
}

/**
 * Starts what the functions need, measures, ends everything. @returns the exit code: 1 when requests failed, 3 when engines did
 * not start, interrupted as the shell expects it.
 */
export async function runFunctions(
  functions: readonly PlannedFunction[],
  settings: ExperimentSettings,
  options: RunOptions,
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
    id: options.id,
    engine: launch.engine,
    runtime: launch.runtime,
    directory: options.directory,
    ports: Object.fromEntries(options.ports.map((port, index) => [`engine-${index}`, port])),
    signal: interruption.signal,
    logDirectory: settings.logDirectory,
    hfTokenPath: launch.hfTokenPath,
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
    return exitCode(results, options.conclude(results, reporter), reporter);
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

/** The worst of it: 1, then 3. */
function exitCode(results: readonly FunctionResult[], concluded: number | null, reporter: ExperimentsReporter): number {
  const failures = results.flatMap(({ name, failures }) => failures.map((failure) => ({ name, ...failure })));
  if (failures.length > 0) {
    reporter.line(`\n${failures.length} ${failures.length === 1 ? 'experiment' : 'experiments'} failed:`);
    for (const { name, experimentId, message } of failures) {
      reporter.line(`  ${name}, experiment ${experimentId}: ${message.split('\n')[0]}`);
    }
  }
  if (concluded === 1 || failures.some(({ measured }) => measured)) return 1;
  return failures.length > 0 ? 3 : (concluded ?? 0);
}

/** @throws UsageError */
export function readPorts(flag: string, given: unknown, defaults: readonly number[]): readonly number[] {
  const texts = Array.isArray(given) ? given.map(String) : [];
  const bad = texts.filter((text) => !/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > 65_535);
  if (bad.length > 0) {
    throw new UsageError(`${flag} ${bad.map((text) => `"${text}"`).join(', ')}: expected ports from 1 to 65535.`);
  }
  const ports = texts.map(Number);
  const twice = ports.find((port, index) => ports.indexOf(port) !== index);
  if (twice !== undefined)
    throw new UsageError(`${flag} "${twice}" stands there twice: each server needs its own port.`);
  return ports.length > 0 ? ports : defaults;
}

/** @returns undefined where none was given. @throws UsageError */
export function readModel(given: unknown): string | undefined {
  if (given === undefined) return undefined;
  const { pattern, patternText } = commonSettings.MODEL;
  const model = String(given);
  if (pattern.test(model)) return model;
  throw new UsageError(`-m "${model}": expected ${patternText}.`);
}

/** Given, or drawn. @throws UsageError */
export function readSeed(given: unknown): number {
  if (given === undefined) return randomInt(2 ** 31);
  const seed = Number(given);
  if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31) return seed;
  throw new UsageError(`--seed "${String(given)}": expected a whole number from 0 to 2147483647.`);
}
