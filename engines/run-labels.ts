import type { EngineRole } from './launch-spec.js';
import { buildIdVariable } from './process-groups.js';

export const buildIdLabel = 'ci.lmcache.build-id';
export const roleLabel = 'ci.lmcache.role';
/** Which registry knows the run: on a daemon shared by several hosts or users, the others' containers stay. */
export const registryLabel = 'ci.lmcache.registry';

/** What every container of a run carries, so that a stranger can find and remove it. */
export function runLabels(buildId: string, role: EngineRole, registryName: string): Record<string, string> {
  return { [buildIdLabel]: buildId, [roleLabel]: role, [registryLabel]: registryName };
}

const registryVariable = 'LMCACHE_CI_REGISTRY';

/** What every process of a run carries. Two registries of one machine may each have a run of this id. */
export function runMark(buildId: string, registryName: string): Record<string, string> {
  return { [buildIdVariable]: buildId, ...registryMark(registryName) };
}

/** The part of the mark that all runs of a registry share. */
export function registryMark(registryName: string): Record<string, string> {
  return { [registryVariable]: registryName };
}
