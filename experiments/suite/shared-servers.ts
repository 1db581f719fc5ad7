import path from 'node:path';
import type { ReservedGpu } from '../../engines/live-run.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import type { ServerSpec } from '../engine-host.js';
import { cacheServerSpec, type LaunchPlan, lmcacheServerSpec } from './engine-launch.js';
import { isLocalHost, type LmcacheConfiguration, type LmcacheSettings, remoteServer } from './lmcache-configuration.js';
import { neededSentinel, type RedisSentinel, redisSpecs } from './redis-sentinel.js';

/** What engines keep their cache on beside themselves: one server a port, however many engines name it. */
export class SharedServers {
  readonly #plan: LaunchPlan;
  readonly #byPort = new Map<number, { readonly wanted: string; readonly spec: ServerSpec }>();
  readonly #redis = new Map<string, RedisSentinel>();

  constructor(plan: LaunchPlan) {
    this.#plan = plan;
  }

  /**
   * Notes what one engine needs.
   * @param settings the content of its configuration file
   * @param gpus all of the experiment's, for a server that copies from them; null on the simulator
   * @throws Error when two engines want different things on one port.
   */
  need(lmcache: LmcacheConfiguration, settings: LmcacheSettings, gpus: readonly ReservedGpu[] | null): void {
    const { server, remoteDevice: device = 'cpu' } = lmcache;
    if (server !== undefined) {
      const wanted = `lmcache server, ${server.l1SizeGb} GB, HTTP on ${server.httpPort}`;
      this.#add(server.port, wanted, lmcacheServerSpec(server, gpus, this.#plan));
      return;
    }
    const remote = remoteServer(settings.remote_url);
    if (remote !== null && isLocalHost(remote.host)) {
      if (path.isAbsolute(device)) makeFolder(device);
      this.#add(remote.port, `lm:// on ${device}`, cacheServerSpec(remote, device, this.#plan));
    }
    const serviceName = lmcache.environment?.['REDIS_SERVICE_NAME'] ?? 'redismaster';
    const redis = neededSentinel(settings.remote_url, serviceName);
    if (redis !== null) this.#redis.set(redis.sentinelPorts.join(','), redis);
  }

  /** All of them, in the order in which they are to be started. @param directory for Redis' own files */
  async specs(directory: string): Promise<readonly ServerSpec[]> {
    const specs: ServerSpec[] = [];
    for (const [index, needed] of [...this.#redis.values()].entries()) {
      specs.push(...(await redisSpecs(needed, path.join(directory, `redis-${index}`))));
    }
    return [...specs, ...[...this.#byPort.values()].map(({ spec }) => spec)];
  }

  #add(port: number, wanted: string, spec: ServerSpec): void {
    const known = this.#byPort.get(port);
    if (known !== undefined && known.wanted !== wanted) {
      throw new Error(`two engines share port ${port} and want different servers there: ${known.wanted}; ${wanted}`);
    }
    this.#byPort.set(port, { wanted, spec });
  }
}
