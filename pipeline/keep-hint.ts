import { parseDuration } from './duration.js';
import type { Run } from './run.js';
import { settingValues } from './run-plan.js';

const ttlOf = (run: Run) => String(settingValues(run.plan.settings)['DETACHED_TTL']);

/** The run outlives this process, but not for ever: DETACHED_TTL. */
export async function leaveUp(run: Run): Promise<void> {
  await run.fleet.detach(parseDuration(ttlOf(run)) ?? undefined);
}

/** How to reach and remove a run that was left up. */
export function keepHint(run: Run): readonly string[] {
  const { buildId } = run.plan.facts;
  const reach = (['vllm', 'baseline', 'lmcache'] as const).flatMap((role) => {
    const endpoint = run.fleet.find(role);
    return endpoint ? [`  ${role.padEnd(9)}${endpoint.baseUrl}  log: ${endpoint.logPath ?? 'not ours'}`] : [];
  });
  return [
    `Left running as ${buildId}:`,
    ...reach,
    `Run a step against it:  BUILD_ID=${buildId} npx zx steps/run-long-doc-qa.mjs`,
    `Remove it:              BUILD_ID=${buildId} npx zx steps/cleanup.mjs`,
    ...(run.plan.facts.runtime === 'external' ? [] : [`It goes by itself after ${ttlOf(run)} (DETACHED_TTL).`]),
  ];
}
