import type { EngineRole } from './launch-spec.js';

export const buildIdLabel = 'ci.lmcache.build-id';
const roleLabel = 'ci.lmcache.role';
/** Which registry knows the run: on a daemon shared by several hosts or users, the others' containers stay. */
export const registryLabel = 'ci.lmcache.registry';

/** What every container of a run carries, so that a stranger can find and remove it. */
export function runLabels(buildId: string, role: EngineRole, registryName: string): Record<string, string> {
  return { [buildIdLabel]: buildId, [roleLabel]: role, [registryLabel]: registryName };
}
