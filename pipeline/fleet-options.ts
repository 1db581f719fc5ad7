import type { CreateFleetOptions, EngineEvent, ExternalServers } from '../engines/run-fleet.js';
import { commonSettings } from '../steps/common-settings.js';
import { loadSteps } from './config/settings-flags.js';
import { type RunPlan, settingValues } from './run-plan.js';
import { UsageError } from './usage-error.js';

/** What the keeper and later processes must know of a run. */
export async function fleetOptions(plan: RunPlan, onEvent: (event: EngineEvent) => void): Promise<CreateFleetOptions> {
  const { buildId, engine, runtime } = plan.facts;
  if (runtime === 'external') throw new Error('External servers have no fleet of ours.');
  const values = settingValues(plan.settings);
  return {
    buildId,
    engine,
    runtime,
    resultsDir: plan.resultsDir,
    ports: {
      vllm: Number(values['VLLM_PORT']),
      baseline: Number(values['VLLM_BASELINE_PORT']),
      lmcache: Number(values['LMCACHE_PORT']),
      lmcacheHttp: Number(values['LMCACHE_HTTP_PORT']),
    },
    settings: await joinableSettings(plan),
    onEvent,
    verdictFollows: true,
  };
}

/** What a step that joins takes over: the settings the engines were launched with, and the run's own. */
async function joinableSettings(plan: RunPlan): Promise<CreateFleetOptions['settings']> {
  const setup = (await loadSteps()).filter(({ kind }) => kind === 'setup');
  const shared = new Set(
    [commonSettings, ...setup.map(({ settings }) => settings)].flatMap((definitions) => Object.keys(definitions)),
  );
  const values = settingValues(plan.settings);
  const chosen = { ...values, ENGINE: plan.facts.engine, RUNTIME: plan.facts.runtime };
  return Object.fromEntries(Object.entries(chosen).filter(([name, value]) => shared.has(name) && value !== null));
}

/** @throws UsageError when RUNTIME=external names no vLLM. */
export function externalServers(plan: RunPlan): ExternalServers {
  const values = settingValues(plan.settings);
  const url = (name: string) => (typeof values[name] === 'string' ? values[name] : null);
  const servers = { vllmUrl: url('VLLM_URL'), baselineUrl: url('VLLM_BASELINE_URL'), lmcacheUrl: url('LMCACHE_URL') };
  if (!servers.vllmUrl)
    throw new UsageError('RUNTIME=external needs VLLM_URL, e.g. VLLM_URL=http://127.0.0.1:8000. Nothing was started.');
  return servers;
}
