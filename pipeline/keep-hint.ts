import type { Run } from './run.js';

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
  ];
}
