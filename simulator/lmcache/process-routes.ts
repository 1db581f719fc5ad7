import type { SimulatedClock } from '../contracts.js';
import { type Answer, plainText, type Routes } from './http-router.js';
import type { LogLevels } from './log-levels.js';

/** Of the environment, what is the servers' business: the rest may hold secrets. */
const SHOWN_VARIABLES = /^(SIM|LMCACHE|VLLM|CUDA|PYTHON)_?/;

/** The periodic threads that the recorded server's log names; level and seconds as there. */
const THREADS = [
  { name: 'SessionManager-cleanup-thread', level: 'medium', interval: 60 },
  { name: 'DeviceHostFuncDispatcher', level: 'high', interval: 0 },
  { name: 'lmcache-mp-worker-reaper', level: 'medium', interval: 30 },
] as const;
const LEVELS = ['critical', 'high', 'medium', 'low'] as const;

type ThreadStatus = ReturnType<typeof statusOf>;

/** What LMCache's HTTP API tells of its process: environment, log levels, threads. */
export function processRoutes(
  clock: SimulatedClock,
  environment: Readonly<Record<string, string | undefined>>,
  levels: LogLevels,
): Routes {
  const startedAt = clock.now();
  const threads = (): ThreadStatus[] => THREADS.map((thread) => statusOf(thread, startedAt, clock.now()));
  return {
    '/env': {
      GET: () => {
        const shown = Object.entries(environment).filter(([name]) => SHOWN_VARIABLES.test(name));
        return plainText(`${JSON.stringify(Object.fromEntries(shown.sort()), null, 2)}`);
      },
    },
    '/loglevel': { GET: ({ query }) => logLevel(levels, query.get('logger_name'), query.get('level')) },
    '/threads': {
      GET: ({ query }) => {
        const name = query.get('name')?.toLowerCase() ?? '';
        const names = ['MainThread', ...THREADS.map((thread) => thread.name)];
        const matching = names.filter((one) => one.toLowerCase().includes(name));
        const blocks = matching.map((one) => `Thread: <Thread(${one}, started)>\nNo stack trace available\n`);
        return plainText(`${blocks.join('\n')}\n\n=== Thread Summary ===\nTotal threads: ${matching.length}\n`);
      },
    },
    '/periodic-threads': {
      GET: ({ query }) => {
        const level = query.get('level')?.toLowerCase() ?? null;
        if (level !== null && !LEVELS.some((known) => known === level)) {
          const error = `Invalid level: ${query.get('level')}. Valid values: critical, high, medium, low`;
          return { status: 400, json: { error } };
        }
        const all = threads();
        const shown = all.filter((thread) => level === null || thread.level === level);
        return { json: { summary: summaryOf(all), threads: shown } };
      },
    },
    '/periodic-threads/{thread_name}': {
      GET: ({ params: { thread_name: name = '' } }) => {
        const found = threads().find((thread) => thread.name === name);
        return found ? { json: found } : { status: 404, json: { error: `Thread not found: ${name}` } };
      },
    },
    '/periodic-threads-health': {
      GET: () => ({ json: { healthy: true, unhealthy_count: 0, unhealthy_threads: [] } }),
    },
    '/run_script': {
      POST: ({ body }) =>
        /name="script"/.test(body)
          ? plainText('Error executing script: there is no Python in the simulator', 500)
          : plainText('No script file provided', 400),
    },
  };
}

function statusOf({ name, level, interval }: (typeof THREADS)[number], startedAt: number, now: number) {
  const seconds = now - startedAt;
  const runs = interval === 0 ? 0 : 1 + Math.floor(seconds / interval);
  const lastRunAgo = interval === 0 ? null : seconds % interval;
  return {
    name,
    level,
    interval,
    init_wait: 0,
    is_running: true,
    is_active: interval > 0,
    last_run_time: lastRunAgo === null ? 0 : Date.now() / 1000 - lastRunAgo,
    last_run_ago: lastRunAgo,
    total_runs: runs,
    failed_runs: 0,
    success_rate: runs === 0 ? null : 100,
    last_summary: null,
  };
}

function summaryOf(threads: readonly ThreadStatus[]): unknown {
  const counts = (some: readonly ThreadStatus[]) => ({
    total: some.length,
    running: some.length,
    active: some.filter((thread) => thread.is_active).length,
  });
  const { total, running, active } = counts(threads);
  return {
    total_count: total,
    running_count: running,
    active_count: active,
    by_level: Object.fromEntries(
      LEVELS.map((level) => [level, counts(threads.filter((thread) => thread.level === level))]),
    ),
  };
}

function logLevel(levels: LogLevels, logger: string | null, level: string | null): Answer {
  if (logger === null) return plainText(`=== Loggers and Levels ===\n${levels.lines().join('\n')}\n`);
  if (level === null) return plainText(`${logger}: ${levels.of(logger)}`);
  if (!levels.set(logger, level.toUpperCase())) return plainText(`Invalid log level: ${level}`, 400);
  return plainText(`Set ${logger} level to ${level.toUpperCase()} (including all handlers)`);
}
