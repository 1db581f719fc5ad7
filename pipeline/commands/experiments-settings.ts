import { homedir } from 'node:os';
import path from 'node:path';
import type { Argv } from 'yargs';
import { detectCi } from '../../ci/ci-environment.js';
import type { LaunchPlan } from '../../experiments/suite/engine-launch.js';
import { commonSettings } from '../../steps/common-settings.js';
import { launchSettings } from '../../steps/launch-settings.js';
import { defineSettings, type SettingDefinitions } from '../../steps/settings.js';
import { type Configuration, configure, warnOfNearMisses } from '../config/configure.js';
import { flagName } from '../config/definitions.js';
import { defaultText } from '../config/settings-flags.js';
import { chooseEngine, type EngineSetting, type RuntimeSetting } from '../engine-choice.js';
import { machineProbes } from '../machine-probes.js';
import { settingValues, workspace } from '../run-plan.js';
import { NoVerdictError } from '../usage-error.js';
import { checkOutputFolder } from './output-path.js';

/** What decides where engines run; the same names as mp-test's. */
export const engineSettings = defineSettings({
  ENGINE: {
    ...commonSettings.ENGINE,
    description:
      'Real vLLM, or the embedded simulator; auto takes vLLM where vllm and lmcache are on PATH (RUNTIME=docker: where Docker is) and GPUs that fit.',
  },
  RUNTIME: {
    ...commonSettings.RUNTIME,
    choices: ['auto', 'docker', 'process'],
    description: 'Containers, or child processes (auto).',
  },
  IMAGE: {
    type: 'text',
    default: null,
    defaultText: 'the one that `step build-image` makes',
    pattern: /^[^\s]+$/,
    patternText: 'an image reference such as lmcache/vllm-openai:latest',
    description: 'RUNTIME=docker: the image of the engines.',
  },
  HF_HOME: commonSettings.HF_HOME,
  HF_TOKEN_PATH: launchSettings.HF_TOKEN_PATH,
  MIN_FREE_GPU_MIB: { ...launchSettings.MIN_FREE_GPU_MIB, default: 20_000 },
  MAX_WAIT_SECONDS: { ...commonSettings.MAX_WAIT_SECONDS, description: 'Time-out for the start of engines.' },
  ENGINE_LOG_DIR: {
    type: 'path',
    default: '/tmp',
    description: "Where the engines' outputs go: {port}-stdout.log and {port}-stderr.log.",
  },
  SIM_PROFILE: {
    ...commonSettings.SIM_PROFILE,
    // The class of card on which every storage backend pays: an H200 computes a context before a disk delivers it.
    default: 'l40s',
  },
  SIM_SPEED: commonSettings.SIM_SPEED,
  SIM_FAULT: commonSettings.SIM_FAULT,
});

/** Where and how the engines of a run are started. */
export interface ExperimentSettings {
  readonly launch: LaunchPlan;
  /** Why the simulator runs where nobody asked for it; null otherwise. */
  readonly simulatedBecause: string | null;
  readonly minFreeGpuMiB: number;
  readonly readySeconds: number;
  readonly logDirectory: string;
}

/** A flag for each setting, as mp-test has them. */
export function addEngineFlags(parser: Argv, definitions: SettingDefinitions = engineSettings): Argv {
  for (const [name, definition] of Object.entries(definitions)) {
    parser.option(flagName(name), {
      type: 'string',
      requiresArg: true,
      group: 'Engines (flags, environment or .env):',
      describe: `${definition.description} [${name}; ${defaultText(definition)}]`,
    });
  }
  return parser;
}

/** @throws UsageError with all values that cannot be used; asks nothing of this machine. */
export function configureEngines(
  parsed: Readonly<Record<string, unknown>>,
  definitions: SettingDefinitions = engineSettings,
): Configuration {
  return configure(definitions, parsed, {});
}

/**
 * @param needs.fewestGpus without so many the simulator runs; 2 by default
 * @param needs.definitions settings with defaults of their own
 * @throws UsageError for bad values, NoVerdictError on CI without a GPU or without an image.
 */
export async function readEngineSettings(
  parsed: Readonly<Record<string, unknown>>,
  model: string,
  needs: { readonly fewestGpus?: number; readonly definitions?: SettingDefinitions } = {},
): Promise<ExperimentSettings> {
  const ci = detectCi(process.env);
  const configuration = configureEngines(parsed, needs.definitions);
  warnOfNearMisses(configuration);
  const values = settingValues(configuration.settings);
  const text = (name: keyof typeof engineSettings): string | null => {
    const value = values[name];
    return value === null || value === undefined ? null : String(value);
  };
  const minFreeGpuMiB = Number(values['MIN_FREE_GPU_MIB']);
  const runtime = text('RUNTIME') === 'docker' ? 'docker' : 'process';
  const choice = await chooseEngine(
    (text('ENGINE') ?? 'auto') as EngineSetting,
    runtime as RuntimeSetting,
    ci.isCi,
    machineProbes(minFreeGpuMiB, null, needs.fewestGpus),
  );
  if (!choice.chosen) throw new NoVerdictError(choice.message);
  const logDirectory = text('ENGINE_LOG_DIR');
  if (logDirectory !== null) checkOutputFolder('ENGINE_LOG_DIR', logDirectory);
  const { engine } = choice;
  return {
    launch: {
      engine,
      runtime,
      image: runtime === 'docker' ? await requireImage(text('IMAGE'), engine) : '',
      model,
      hfHome: text('HF_HOME') ?? path.join(homedir(), '.cache', 'huggingface'),
      hfTokenPath: text('HF_TOKEN_PATH'),
      simulator:
        engine === 'sim'
          ? {
              profile: text('SIM_PROFILE') ?? 'h200',
              speed: Number(values['SIM_SPEED']),
              fault: text('SIM_FAULT'),
              command: [process.execPath, path.join(workspace, 'dist', 'simulator', 'main.js')],
            }
          : null,
    },
    simulatedBecause: engine === 'sim' ? choice.why : null,
    minFreeGpuMiB,
    readySeconds: Number(values['MAX_WAIT_SECONDS']),
    logDirectory: logDirectory ?? '/tmp',
  };
}

async function requireImage(given: string | null, engine: 'vllm' | 'sim'): Promise<string> {
  const [{ resolveImage }, { openContainerHost }] = await Promise.all([
    import('../../steps/resolve-image.js'),
    import('../../docker/client.js'),
  ]);
  const { reference } = await resolveImage({ IMAGE: given }, { engine, workspace });
  if ((await openContainerHost().findImage(reference)) !== null) return reference;
  const make = given === null ? `ENGINE=${engine} RUNTIME=docker lmcache-ci step build-image` : `docker pull ${given}`;
  throw new NoVerdictError(`The image "${reference}" is not on this machine. Make it first: ${make}`);
}
