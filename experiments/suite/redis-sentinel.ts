import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { findFreePorts } from '../../engines/free-ports.js';
import { findPortOwner } from '../../engines/port-owner.js';
import { makeFolder } from '../../results-schema/make-folder.js';
import type { ServerSpec } from '../engine-host.js';
import { isLocalHost } from './lmcache-configuration.js';

/** A Redis and the sentinels that watch it. */
export interface RedisSentinel {
  readonly sentinelPorts: readonly number[];
  readonly serviceName: string;
}

const urlStart = 'redis-sentinel://';
const defaultSentinelPort = 26_379;

/**
 * What a `redis-sentinel://localhost:26379,localhost:26380` URL needs on this machine; null where it names another machine,
 * is another URL, or where a sentinel runs already.
 */
export function neededSentinel(url: string | null | undefined, serviceName: string): RedisSentinel | null {
  if (!url?.startsWith(urlStart)) return null;
  const addresses = url
    .slice(urlStart.length)
    .split(',')
    .map(
      (address) => /^(?:([^:]+):)?(\d+)$/.exec(address.trim()) ?? [null, address.trim(), String(defaultSentinelPort)],
    );
  if (!addresses.every(([, host]) => host === undefined || isLocalHost(String(host)))) return null;
  const sentinelPorts = addresses.map(([, , port]) => Number(port));
  const isThere = sentinelPorts.some((port) => findPortOwner(port) !== null);
  return isThere ? null : { sentinelPorts, serviceName };
}

/** Debian's redis-server as the master, then once as each sentinel. Nothing is kept on disk. */
export async function redisSpecs(needed: RedisSentinel, directory: string): Promise<readonly ServerSpec[]> {
  makeFolder(directory);
  const [masterPort = 0] = await findFreePorts(1);
  const quorum = Math.floor(needed.sentinelPorts.length / 2) + 1;
  return [
    redisSpec(masterPort, ['--port', String(masterPort), '--bind', '127.0.0.1', '--save', '', '--dir', directory]),
    ...needed.sentinelPorts.map((port) => {
      const file = path.join(directory, `sentinel-${port}.conf`);
      // A sentinel keeps what it learns in its own configuration file.
      writeFileSync(
        file,
        [
          `port ${port}`,
          'bind 127.0.0.1',
          `dir ${directory}`,
          `sentinel monitor ${needed.serviceName} 127.0.0.1 ${masterPort} ${quorum}`,
          '',
        ].join('\n'),
      );
      return redisSpec(port, [file, '--sentinel']);
    }),
  ];
}

function redisSpec(port: number, args: readonly string[]): ServerSpec {
  return {
    program: 'other',
    command: ['redis-server'],
    args,
    environment: {},
    container: { image: 'redis:7', entrypoint: null, mounts: [], gpu: null },
    ports: [port],
    healthUrl: null,
  };
}
