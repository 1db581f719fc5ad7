import { EngineStartError } from './errors.js';
import type { LaunchSpec } from './launch-spec.js';
import type { LiveRun } from './live-run.js';
import { findPortOwner, listListeners } from './port-owner.js';
import type { Registry } from './registry.js';

/**
 * Engines share the host's network: a port that somebody listens on, or that an earlier live run was given,
 * would fail minutes later inside the engine.
 * @throws EngineStartError (`port-taken`) naming each owner; nothing has been started then.
 */
export function refuseTakenPorts(specs: readonly LaunchSpec[], run: LiveRun, registry: Registry): void {
  const earlier = registry.list().live.filter((other) => other.buildId !== run.buildId && isBefore(other, run));
  const listeners = listListeners();
  const taken = specs.flatMap((spec) =>
    spec.ports.flatMap((port) => {
      const owner = findPortOwner(port, registry, listeners);
      if (owner) return [`port ${port} (${spec.name}) is taken by ${owner.description}`];
      const reservedBy = earlier.find((other) => Object.values(other.ports).includes(port));
      return reservedBy ? [`port ${port} (${spec.name}) was given to run ${reservedBy.buildId} before`] : [];
    }),
  );
  const [first] = taken;
  if (first === undefined) return;
  const more = taken.length > 1 ? ` (and ${taken.length - 1} more)` : '';
  throw new EngineStartError(
    `${first}${more}. End that process, or set VLLM_PORT, VLLM_BASELINE_PORT, LMCACHE_PORT or LMCACHE_HTTP_PORT ` +
      'to another port or to auto. Nothing was started.',
    { failureCause: 'port-taken', evidence: taken },
  );
}

/** Of two runs with the same ports the one that was announced first keeps them. */
function isBefore(other: LiveRun, run: LiveRun): boolean {
  return other.createdAt < run.createdAt || (other.createdAt === run.createdAt && other.buildId < run.buildId);
}
