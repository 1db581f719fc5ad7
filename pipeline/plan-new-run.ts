import type { CiEnvironment } from '../ci/ci-environment.js';
import type { ResolvedSetting } from './config/resolve-settings.js';
import { chooseEngine, type EngineSetting, type RuntimeSetting } from './engine-choice.js';
import { externalServers } from './fleet-options.js';
import { completeSettings, type RunPlan, settingValues, workspace } from './run-plan.js';
import { NoVerdictError } from './usage-error.js';

/** Decides all that can be decided before anything starts. @throws NoVerdictError on CI without a GPU, UsageError for external servers without an address. */
export async function planNewRun(settings: readonly ResolvedSetting[], ci: CiEnvironment): Promise<RunPlan> {
  const startedAt = new Date();
  const complete = await completeSettings(settings, startedAt);
  const values = settingValues(complete);
  const { machineProbes } = await import('./machine-probes.js');
  const minGpuMemoryMiB = Number(values['MIN_FREE_GPU_MIB'] ?? 0);
  const choice = await chooseEngine(
    values['ENGINE'] as EngineSetting,
    values['RUNTIME'] as RuntimeSetting,
    ci.isCi,
    machineProbes(minGpuMemoryMiB, typeof values['VLLM_URL'] === 'string' ? values['VLLM_URL'] : null),
  );
  if (!choice.chosen) throw new NoVerdictError(choice.message);
  const plan: RunPlan = {
    facts: { buildId: String(values['BUILD_ID']), engine: choice.engine, runtime: choice.runtime, workspace },
    resultsDir: String(values['RESULTS_DIR']),
    settings: complete,
    ci,
    simulatedBecause: choice.engine === 'sim' ? choice.why : null,
    startedAt,
  };
  if (choice.runtime === 'external') externalServers(plan);
  return plan;
}
