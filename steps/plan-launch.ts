import { homedir } from 'node:os';
import path from 'node:path';
import { splitWords } from '../engines/argument-words.js';
import { engineVariables, variablePrefixes } from '../engines/engine-variables.js';
import type { LaunchSpec } from '../engines/launch-spec.js';
import { type LaunchOptions, launchSpecs } from '../engines/launch-specs.js';
import type { CommonSettings } from './common-settings.js';
import type { LaunchSettings } from './launch-settings.js';
import type { RunFacts } from './step.js';

/** What settings do not decide: known when the run launches, assumed in a dry run. */
export interface LaunchFacts {
  /** Unused on the process runtime. */
  readonly image: string;
  /** null on the simulator. */
  readonly gpus: LaunchOptions['gpus'];
}

/** The engines a run launches, from its settings: the same for launching and for showing the plan. */
export function planLaunch(
  settings: CommonSettings & LaunchSettings,
  run: Pick<RunFacts, 'buildId' | 'engine' | 'workspace'> & { readonly runtime: 'docker' | 'process' },
  facts: LaunchFacts,
): readonly LaunchSpec[] {
  const main = path.join(run.workspace, 'dist', 'simulator', 'main.js');
  return launchSpecs({
    ...facts,
    buildId: run.buildId,
    engine: run.engine,
    runtime: run.runtime,
    model: settings.MODEL,
    modelPath: settings.MODEL_PATH,
    ports: {
      vllm: settings.VLLM_PORT,
      baseline: settings.VLLM_BASELINE_PORT,
      lmcache: settings.LMCACHE_PORT,
      lmcacheHttp: settings.LMCACHE_HTTP_PORT,
    },
    l1SizeGb: settings.L1_SIZE_GB,
    maxWorkers: settings.MAX_WORKERS,
    gpuMemoryUtilization: settings.GPU_MEMORY_UTILIZATION,
    batchInvariant: settings.BATCH_INVARIANT,
    lmcacheLaunch: settings.LMCACHE_LAUNCH,
    vllm: {
      arguments: splitWords(settings.VLLM_EXTRA_ARGS ?? ''),
      variables: engineVariables({ ...settings }, variablePrefixes.vllm),
    },
    lmcache: {
      arguments: splitWords(settings.LMCACHE_EXTRA_ARGS ?? ''),
      variables: engineVariables({ ...settings }, variablePrefixes.lmcache),
    },
    compileCacheDir: settings.COMPILE_CACHE_DIR ?? ownCompileCache(run),
    hfHome: settings.HF_HOME ?? path.join(homedir(), '.cache', 'huggingface'),
    hfTokenPath: settings.HF_TOKEN_PATH,
    simulator:
      run.engine === 'sim'
        ? {
            profile: settings.SIM_PROFILE,
            speed: settings.SIM_SPEED,
            fault: settings.SIM_FAULT,
            command: [process.execPath, main],
          }
        : null,
  });
}

/** Both engines at once on one cache of compiled code get in each other's way, and the simulator compiles nothing. */
function ownCompileCache({ engine, runtime }: { readonly engine: string; readonly runtime: string }): string | null {
  return engine === 'vllm' && runtime === 'process' ? path.join(homedir(), '.cache', 'lmcache-ci', 'compile') : null;
}
