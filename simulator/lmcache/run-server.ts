import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { UsageError } from '../argparse.js';
import { RealTimeClock } from '../clock.js';
import { loadProfile, UnknownProfileError } from '../profiles.js';
import { RequestFaults } from '../request-faults.js';
import type { SimControlState } from '../sim-control.js';
import { readSimEnvironment, SimSettingError } from '../sim-environment.js';
import { cacheServerStartFailure } from '../start-faults.js';
import { CacheTier } from './cache-tier.js';
import { LazyMemory } from './lazy-memory.js';
import { LogLevels } from './log-levels.js';
import { type CacheServerOptions, parseServerArguments, type ServerSpelling } from './server-arguments.js';
import { createHttpFrontend } from './server-http.js';
import { createServerLog, type ServerLog } from './server-log.js';
import { ServerMetrics } from './server-metrics.js';
import { TierEndpoint } from './tier-endpoint.js';

const GIB = 1024 ** 3;
const SERVER = 'server.py:433:lmcache.v1.multiprocess.server';
const LAZY_MEMORY = 'lazy_memory_allocator.py:300:lmcache.v1.memory_allocators.lazy_memory_allocator';
const HTTP_SERVER = 'http_server.py:163:lmcache.v1.multiprocess.http_server';

export interface ServerRun {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends the server; SIGTERM and SIGINT in a process of its own. */
  readonly signal: AbortSignal;
  readonly write: (line: string) => void;
  readonly writeError: (line: string) => void;
  /** Called once it serves, with the ports it listens on. */
  readonly onReady?: (ports: { readonly port: number; readonly httpPort: number | null }) => void;
}

/**
 * The simulated LMCache server, from its command line (its own name excluded) to its end.
 * @returns the exit code: 0 when asked to end, 1 when a port is taken, 2 for a wrong command line or SIM_* variable.
 */
export async function runCacheServer(
  spelling: ServerSpelling,
  argv: readonly string[],
  run: ServerRun,
): Promise<number> {
  try {
    const options = parseServerArguments(spelling, argv);
    const settings = readSimEnvironment(run.environment, 'lmcache');
    const profile = loadProfile(settings.profile);
    return await serve(options, { ...settings, profile: profile.name, role: 'lmcache' }, profile, run);
  } catch (error) {
    if (error instanceof UsageError || error instanceof SimSettingError || error instanceof UnknownProfileError) {
      run.writeError(`${error.message}\n`);
      return 2;
    }
    throw error;
  }
}

async function serve(
  options: CacheServerOptions,
  state: SimControlState,
  profile: ReturnType<typeof loadProfile>,
  run: ServerRun,
): Promise<number> {
  const levels = new LogLevels();
  const log = createServerLog(run.write, levels);
  const clock = new RealTimeClock(state.speed);
  announce(log, options, state, profile.lmcacheVersion);
  const instanceId = randomUUID();
  const metrics = new ServerMetrics(clock, instanceId);
  const l1Bytes = options.l1SizeGib * GIB;
  const memory = new LazyMemory({
    totalBytes: l1Bytes,
    initialBytes: options.l1Lazy ? options.l1InitialSizeGib * GIB : l1Bytes,
    speed: () => state.speed,
    log: (line) => log.info(LAZY_MEMORY, line),
  });
  const tier = new CacheTier({
    clock,
    metrics,
    chunkTokens: options.chunkTokens,
    l1Bytes,
    l1AllocatedBytes: () => memory.bytes,
    evictionPolicy: options.evictionPolicy,
    watermark: options.watermark,
    evictionRatio: options.evictionRatio,
    storePolicy: options.l2StorePolicy,
    prefetchPolicy: options.l2PrefetchPolicy,
    l2: options.l2Adapters,
    prefetchMaxInFlight: options.l2PrefetchMaxInFlight,
    sampleRate: options.metricsSampleRate,
  });
  tier.disabled = state.fault.values.has('no-cache');
  const faults = new RequestFaults(() => state.fault);
  let reportDeath: (error: unknown) => void = () => undefined;
  const died = new Promise<unknown>((resolve) => {
    reportDeath = resolve;
  });
  const endpoint = new TierEndpoint(tier, metrics, log, { faults, onFatal: (error) => reportDeath(error) });
  const http = createHttpFrontend({
    tier,
    endpoint,
    metrics,
    server: options,
    clock,
    state,
    faults,
    lmcacheVersion: profile.lmcacheVersion,
    instanceId,
    environment: run.environment,
    levels,
    log,
  });
  try {
    const slowStartMs = (state.fault.values.get('slow-start') ?? 0) * 1000;
    const startMs = (profile.loadSeconds.lmcacheServer * 1000) / state.speed + slowStartMs;
    await delay(startMs, undefined, { signal: run.signal });
    const failure = cacheServerStartFailure(state.fault, options.l1SizeGib);
    if (failure !== null) throw new Error(failure);
    const port = await endpoint.listen(options.host, options.port);
    log.info(SERVER, `LMCache ZMQ cache server is running on tcp://${options.host}:${port}`);
    let httpPort: number | null = null;
    if (options.http !== null) {
      http.listen(options.http.port, options.http.host);
      await once(http, 'listening');
      const address = http.address();
      httpPort = typeof address === 'object' && address !== null ? address.port : options.http.port;
      log.info(HTTP_SERVER, 'LMCache HTTP server initialized');
      log.uvicorn('INFO', `Uvicorn running on http://${options.http.host}:${httpPort} (Press CTRL+C to quit)`);
    }
    memory.start();
    run.onReady?.({ port, httpPort });
    const asked = once(run.signal, 'abort').then(() => null);
    const cause = run.signal.aborted ? null : await Promise.race([asked, died]);
    if (cause !== null) throw cause;
    log.info(SERVER, 'MPCacheServer closed');
    return 0;
  } catch (error) {
    if (run.signal.aborted) return 0;
    run.writeError(pythonTraceback(error instanceof Error ? error.message : String(error)));
    return 1;
  } finally {
    memory.stop();
    endpoint.close();
    http.close();
    http.closeAllConnections();
  }
}

function pythonTraceback(message: string): string {
  return `Traceback (most recent call last):\n  File "/usr/local/bin/lmcache", line 8, in <module>\n    sys.exit(main())\nRuntimeError: ${message}\n`;
}

function announce(log: ServerLog, options: CacheServerOptions, state: SimControlState, version: string): void {
  log.warning(
    'lmcache-ci simulator',
    `SIMULATED LMCache ${version} server: profile "${state.profile}", speed ${state.speed}, fault ${state.fault.text}; no KV bytes are held`,
  );
  log.info(
    SERVER,
    `L1 ${options.l1SizeGib} GiB, eviction ${options.evictionPolicy}, chunks of ${options.chunkTokens} tokens, ${options.l2Adapters.length} L2 adapter(s)`,
  );
}
