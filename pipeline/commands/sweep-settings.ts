import { availableParallelism } from 'node:os';
import { commonSettings } from '../../steps/common-settings.js';
import type { SettingDefinitions } from '../../steps/settings.js';
import { UsageError } from '../usage-error.js';
import {
  configureEngines,
  type ExperimentSettings,
  engineSettings,
  readEngineSettings,
} from './experiments-settings.js';
import { FlagProblems } from './flag-problems.js';

/** As many as upstream's runner drives at once. */
const mostSimulatedGpus = 8;

const { ENGINE_LOG_DIR: _besideTheSummary, ...shared } = engineSettings;
/** As those of experiments; logs lie beside the summary. */
export const sweepSettings: SettingDefinitions = { ...shared, SIM_PROFILE: commonSettings.SIM_PROFILE };

/** @throws UsageError for bad values, NoVerdictError on CI without a GPU or without an image. */
export function readSweepEngine(parsed: Readonly<Record<string, unknown>>): Promise<ExperimentSettings> {
  // Each server is told its own model.
  return readEngineSettings(parsed, '', { fewestGpus: 1, definitions: sweepSettings });
}

/** GPUs to use. @throws UsageError with all that is wrong with flags and settings */
export function readSweepFlags(parsed: Readonly<Record<string, unknown>>): number {
  const problems = new FlagProblems();
  const gpus = problems.read(() => readGpuCount(parsed['gpus']), 0);
  problems.read(() => configureEngines(parsed, sweepSettings), null);
  problems.throwIfAny();
  return gpus;
}

/** `--gpus`: 0, and nothing, are all. @throws UsageError */
export function readGpuCount(value: unknown): number {
  if (value === undefined) return 0;
  const count = Number(value);
  if (/^\d{1,4}$/.test(String(value)) && Number.isInteger(count)) return count;
  throw new UsageError(`--gpus is "${value}"; allowed: a whole number, 0 for all. Nothing was started.`);
}

/**
 * GPUs of a simulated machine: as many as asked for; without that one a CPU core, for each simulated server needs one,
 * but enough for the widest experiment.
 */
export function simulatedGpuCount(asked: number, widest: number): number {
  return asked > 0 ? asked : Math.max(widest, Math.min(mostSimulatedGpus, availableParallelism()));
}
