import { once } from 'node:events';
import { RealTimeClock } from '../clock.js';
import { loadProfile, UnknownProfileError } from '../profiles.js';
import { RequestFaults } from '../request-faults.js';
import { readSimEnvironment, SimSettingError } from '../sim-environment.js';
import { CacheTier } from './cache-tier.js';
import type { ServerRun } from './run-server.js';
import { createServerLog } from './server-log.js';
import { TIER_CONSTANTS } from './tier-constants.js';
import { TierEndpoint } from './tier-endpoint.js';
import { NO_METRICS } from './tier-metrics.js';

const SERVER = '__main__.py:130:lmcache.v1.server.__main__';
const USAGE = 'Usage: lmcache_server <host> <port> <storage>(default:cpu)';

/**
 * The remote store behind `lm://host:port`, from its command line `HOST PORT [STORAGE]`: memory without a limit, or a
 * folder on a disk. It keeps books only; the engines know what wire and encoding cost.
 * @returns the exit code: 0 when asked to end, 1 for a wrong command line (as the real one) or a taken port, 2 for a
 * wrong SIM_* variable.
 */
export async function runLmServer(argv: readonly string[], run: ServerRun): Promise<number> {
  const log = createServerLog(run.write);
  const [host, portText, storage = 'cpu'] = argv;
  const port = Number(portText);
  const isPort = Number.isInteger(port) && port >= 0 && port <= 65535;
  if (host === undefined || portText === undefined || argv.length > 3 || !isPort) {
    run.writeError(`${USAGE}\n`);
    return 1;
  }
  try {
    const settings = readSimEnvironment(run.environment, 'lmcache');
    const profile = loadProfile(settings.profile);
    const clock = new RealTimeClock(settings.speed);
    const isDisk = !/^(cpu|cuda)/.test(storage);
    const tier = new CacheTier({
      clock,
      metrics: NO_METRICS,
      // The engine says how long its chunks are; this server never cuts a prompt itself.
      chunkTokens: 1,
      l1Bytes: Number.MAX_SAFE_INTEGER,
      evictionPolicy: 'noop',
      watermark: 1,
      evictionRatio: 0,
      storePolicy: 'default',
      prefetchPolicy: 'default',
      l2: [],
      prefetchMaxInFlight: 8,
      sampleRate: 0,
    });
    tier.disabled = settings.fault.values.has('no-cache');
    let reportDeath: (error: unknown) => void = () => undefined;
    const died = new Promise<unknown>((resolve) => {
      reportDeath = resolve;
    });
    const endpoint = new TierEndpoint(tier, NO_METRICS, log, {
      faults: new RequestFaults(() => settings.fault),
      onFatal: (error) => reportDeath(error),
      readBytesPerSecond: isDisk ? TIER_CONSTANTS.lm.diskBytesPerSecond : null,
    });
    try {
      const listening = await endpoint.listen(host, port);
      log.warning(
        'lmcache-ci simulator',
        `SIMULATED LMCache ${profile.lmcacheVersion} remote server, storage "${storage}", speed ${settings.speed}, fault ${settings.fault.text}; no KV bytes are held`,
      );
      log.info(SERVER, `Server started at ${host}:${listening}`);
      run.onReady?.({ port: listening, httpPort: null });
      const asked = once(run.signal, 'abort').then(() => null);
      const cause = run.signal.aborted ? null : await Promise.race([asked, died]);
      if (cause !== null) throw cause;
      return 0;
    } finally {
      endpoint.close();
    }
  } catch (error) {
    run.writeError(`${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof SimSettingError || error instanceof UnknownProfileError ? 2 : 1;
  }
}
