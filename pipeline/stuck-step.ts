import { openConnections } from '../engines/port-owner.js';
import { describeProcess } from '../engines/process-identity.js';
import { probe } from '../engines/readiness.js';
import { scrapeMetrics } from '../workloads/metrics.js';
import { executeOwned } from './execute.js';
import type { Run } from './run.js';

const roles = ['lmcache', 'vllm', 'baseline'] as const;
const shownLogLines = 10;
const lookLimitMs = 5000;
const dumpLimitMs = 15_000;

/**
 * What a step that ran out of time was waiting for: its last word, open requests, each engine's state, answer
 * and last log lines, and the stack of an engine that does not answer, where py-spy is there to ask.
 * Bounded in time. Never throws: what cannot be found out is said.
 */
export async function describeStuckStep(run: Run, waitingFor: string | null): Promise<readonly string[]> {
  const engines = await Promise.all(
    roles.map((role) => describeEngine(run, role).catch((error: unknown) => [`${role}: ${String(error)}`])),
  );
  return [waitingFor === null ? 'the step had not said what it does' : `last seen: ${waitingFor}`, ...engines.flat()];
}

async function describeEngine(run: Run, role: (typeof roles)[number]): Promise<readonly string[]> {
  const { fleet } = run;
  const state = fleet.state(role);
  const endpoint = fleet.find(role);
  if (endpoint === null) return state.status === 'unstarted' ? [] : [`${role}: ${state.status}`];
  const signal = AbortSignal.timeout(lookLimitMs);
  const url = `${endpoint.baseUrl}${role === 'lmcache' ? '/healthcheck' : '/health'}`;
  // Before we open one ourselves.
  const connections = openConnections(Number(new URL(url).port || 80));
  const { ready, answer } = await probe({ kind: 'http', url }, signal);
  const requests = ready && role !== 'lmcache' ? await openRequests(endpoint.baseUrl, signal) : '';
  const tail = await fleet.logTail(role, shownLogLines);
  const stack = ready ? [] : await stackOf(run, state);
  return [
    `${role}: ${state.status}, answers ${answer}${requests}; ${connections} connections to it are open${await holderOf(state)}`,
    ...tail.map((line) => `  | ${line}`),
    ...stack.map((line) => `  > ${line}`),
  ];
}

/** As the engine itself counts them. */
async function openRequests(baseUrl: string, signal: AbortSignal): Promise<string> {
  try {
    const metrics = await scrapeMetrics(`${baseUrl}/metrics`, signal);
    return `, ${metrics.sum('vllm:num_requests_running')} requests running, ${metrics.sum('vllm:num_requests_waiting')} waiting`;
  } catch {
    return ', its open requests are not known';
  }
}

/** `; it is running: process 4711 (vllm serve ...), state S in futex`: its container's state as Docker sees it, its process's. */
async function holderOf(state: ReturnType<Run['fleet']['state']>): Promise<string> {
  if (state.status !== 'starting' && state.status !== 'ready') return '';
  if (state.handle.kind === 'process') return `; it is ${describeProcess(state.handle.pid)}`;
  const [{ openContainerHost }, { describeHolder }] = await Promise.all([
    import('../docker/client.js'),
    import('../docker/labelled-containers.js'),
  ]);
  return describeHolder(openContainerHost(), state.handle.id);
}

async function stackOf(run: Run, state: ReturnType<Run['fleet']['state']>): Promise<readonly string[]> {
  if (state.status !== 'starting' && state.status !== 'ready') return [];
  const { handle } = state;
  const dump = ['py-spy', 'dump', '--pid'];
  const command =
    handle.kind === 'process' ? [...dump, String(handle.pid)] : ['docker', 'exec', handle.name, ...dump, '1'];
  const result = await executeOwned(command, {
    signal: new AbortController().signal,
    timeoutMs: dumpLimitMs,
    owner: run.fleet,
  });
  if (result.exitCode === null && !result.timedOut) return ['no stack: py-spy is not there to ask'];
  return `${result.stdout}${result.exitCode === 0 ? '' : result.stderr}`.trimEnd().split('\n').slice(0, 60);
}
