import path from 'node:path';
import type { RunEvent } from '../results-schema/events.js';
import { timingsOf } from '../results-schema/own-time.js';
import { readRun } from '../results-schema/read-run.js';
import type { Timings } from '../results-schema/run-record.js';
import { assetPath } from '../steps/package-root.js';
import { HealthPoller } from './health-poller.js';
import { firstFailure, runStamped } from './programs.js';

/** Where the engines of a round listen. */
export interface EnginePorts {
  readonly vllm: number;
  readonly baseline: number;
  readonly lmcache: number;
  readonly lmcacheHttp: number;
}

export interface OwnRunOptions {
  readonly runtime: 'docker' | 'process';
  readonly resultsDir: string;
  readonly ports: EnginePorts;
  /** PATH, HOME, DOCKER_HOST, sizes of the workloads. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

export interface OwnRun {
  readonly exitCode: number | null;
  /** Of the whole process. */
  readonly wallSeconds: number;
  /** Before the first event and after the last one: node's start and end, the code's loading, settings. */
  readonly outsideSeconds: number;
  readonly timings: Timings;
  /** From an engine's first HTTP 200 to `engine-ready` in the events. */
  readonly readyNoticedMs: readonly number[];
  readonly ownByStep: ReadonlyMap<string, number>;
  /** Its first line about a failure. */
  readonly failure: string | null;
}

/** One run of the pipeline, looked at from outside and through its events. */
export async function measureOwnRun(options: OwnRunOptions): Promise<OwnRun> {
  const { ports } = options;
  const poller = new HealthPoller({
    vllm: `http://127.0.0.1:${ports.vllm}/health`,
    baseline: `http://127.0.0.1:${ports.baseline}/health`,
    lmcache: `http://127.0.0.1:${ports.lmcacheHttp}/healthcheck`,
  });
  try {
    const run = await runStamped(
      [process.execPath, assetPath('pipeline', 'lmcache-ci.mjs'), 'mp-test', '--keep-going'],
      {
        signal: options.signal,
        environment: {
          ...options.environment,
          ENGINE: 'sim',
          RUNTIME: options.runtime,
          BUILD_ID: `bench_${path.basename(options.resultsDir)}_${process.pid}`,
          RESULTS_DIR: options.resultsDir,
          VLLM_PORT: String(ports.vllm),
          VLLM_BASELINE_PORT: String(ports.baseline),
          LMCACHE_PORT: String(ports.lmcache),
          LMCACHE_HTTP_PORT: String(ports.lmcacheHttp),
        },
      },
    );
    options.signal.throwIfAborted();
    const { events } = await readRun(options.resultsDir);
    const first = events.find(({ type }) => type === 'run-started');
    const last = events.findLast(({ type }) => type === 'run-finished');
    if (first === undefined || last === undefined) {
      const tail = run.lines.slice(-25).map(({ text }) => text);
      throw new Error(`The run in "${options.resultsDir}" did not come to its end:\n${tail.join('\n')}`);
    }
    return {
      exitCode: run.exitCode,
      wallSeconds: (run.endedAt - run.startedAt) / 1000,
      outsideSeconds: (Date.parse(first.at) - run.startedAt + run.endedAt - Date.parse(last.at)) / 1000,
      timings: timingsOf(events),
      readyNoticedMs: events.flatMap((event) => {
        const servedAt = event.type === 'engine-ready' ? poller.firstServed.get(event.role) : undefined;
        return servedAt === undefined ? [] : [Date.parse(event.at) - servedAt];
      }),
      ownByStep: ownByStep(events),
      failure: firstFailure(run),
    };
  } finally {
    await poller.stop();
  }
}

/** Where own time went: what it grows by from event to event, by the step that was on. */
export function ownByStep(events: readonly RunEvent[]): ReadonlyMap<string, number> {
  const byStep = new Map<string, number>();
  let step = 'between steps';
  let before = 0;
  for (const [index, event] of events.entries()) {
    const { ownSeconds } = timingsOf(events.slice(0, index + 1));
    byStep.set(step, (byStep.get(step) ?? 0) + ownSeconds - before);
    before = ownSeconds;
    if (event.type === 'step-started') step = event.step;
    if (event.type === 'step-finished') step = 'between steps';
  }
  return byStep;
}
