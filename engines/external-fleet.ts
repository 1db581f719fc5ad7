import type { GpuUse } from '../results-schema/run-record.js';
import type { EngineState } from './engine-state.js';
import { EngineStartError } from './errors.js';
import type { EngineEndpoint, Readiness, ReleaseReport, UnexpectedExit, WaitOptions } from './fleet.js';
import { waitForFleet } from './fleet-readiness.js';
import { type KeeperClient, spawnKeeper } from './keeper-client.js';
import type { EngineRole } from './launch-spec.js';
import type { ReservedGpu } from './live-run.js';
import { identifyProcess } from './process-identity.js';
import { defaultRegistryDirectory } from './registry.js';
import type { ExternalServers, RunFleet } from './run-fleet.js';
import { makeTemporaryDirectory } from './temporary-directory.js';

/**
 * Servers that somebody else runs: they are asked, never launched, stopped or removed. The run's own child
 * processes still get a keeper, started with the first of them.
 */
export class ExternalFleet implements RunFleet {
  readonly gpus: readonly ReservedGpu[] = [];
  readonly gpusAfter: ReadonlyMap<string, GpuUse> = new Map();
  /** What leaves its group is nobody's: there is no record of the run that could be cleaned by. */
  readonly mark = {};
  readonly #urls: ReadonlyMap<EngineRole, string>;
  #guard: Promise<KeeperClient> | null = null;

  constructor(servers: ExternalServers) {
    const entries: readonly (readonly [EngineRole, string | null])[] = [
      ['vllm', servers.vllmUrl],
      ['baseline', servers.baselineUrl],
      ['lmcache', servers.lmcacheUrl],
    ];
    this.#urls = new Map(
      entries.flatMap(([role, url]): [EngineRole, string][] => (url ? [[role, url.replace(/\/+$/, '')]] : [])),
    );
  }

  async reserveGpus(): Promise<readonly ReservedGpu[]> {
    return [];
  }

  async launch(): Promise<void> {}

  async waitUntilReady(roles: readonly EngineRole[], options: WaitOptions): Promise<Readiness> {
    return waitForFleet(roles, options, {
      spec: (role) => ({
        healthUrl: `${this.require(role).baseUrl}${role === 'lmcache' ? '/healthcheck' : '/health'}`,
        ports: [],
      }),
      isReady: () => false,
      unexpectedExit: () => this.unexpectedExit(),
      onChange: () => () => {},
      markReady: async () => {},
    });
  }

  require(role: EngineRole): EngineEndpoint {
    const endpoint = this.find(role);
    if (endpoint) return endpoint;
    const variables: Partial<Record<EngineRole, string>> = {
      vllm: 'VLLM_URL',
      baseline: 'VLLM_BASELINE_URL',
      lmcache: 'LMCACHE_URL',
    };
    throw new EngineStartError(`RUNTIME=external names no ${role} server: set ${variables[role] ?? 'its address'}.`, {
      failureCause: 'bad-value',
      reason: 'configuration',
    });
  }

  find(role: EngineRole): EngineEndpoint | null {
    const baseUrl = this.#urls.get(role);
    return baseUrl === undefined ? null : { role, baseUrl, containerName: null, logPath: null };
  }

  /** Always `unstarted`: we did not start it and cannot see its process. */
  state(): EngineState {
    return { status: 'unstarted' };
  }

  async unexpectedExit(): Promise<UnexpectedExit | null> {
    return null;
  }

  untilUnexpectedExit(signal: AbortSignal): Promise<UnexpectedExit | null> {
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
  }

  async logTail(): Promise<readonly string[]> {
    return [];
  }

  async own(processGroup: number): Promise<void> {
    const leader = identifyProcess(processGroup);
    if (!leader) return;
    this.#guard ??= startGuard();
    const group = { pgid: processGroup, startTime: leader.startTime };
    await this.#guard.then((guard) => guard.request({ op: 'own', group })).catch(() => undefined);
  }

  async disown(processGroup: number): Promise<void> {
    await this.#guard?.then((guard) => guard.request({ op: 'disown', pgid: processGroup })).catch(() => undefined);
  }

  temporaryDirectory(purpose: string): Promise<string> {
    return makeTemporaryDirectory(purpose, async (directory) => {
      this.#guard ??= startGuard();
      await (await this.#guard).request({ op: 'own-directory', directory });
    });
  }

  async stop(): Promise<void> {}

  async detach(): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    await this.#guard?.then((guard) => guard.close()).catch(() => undefined);
  }

  async release(): Promise<ReleaseReport> {
    await this.close();
    return { removed: [], forced: [], problems: [] };
  }
}

async function startGuard(): Promise<KeeperClient> {
  const guard = spawnKeeper({ registryDir: defaultRegistryDirectory(), logPath: null });
  await guard.request({ op: 'guard' });
  return guard;
}
