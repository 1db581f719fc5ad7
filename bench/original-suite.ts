import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { RunEvent, RunEventInput } from '../results-schema/events.js';
import { timingsOf } from '../results-schema/own-time.js';
import type { Timings } from '../results-schema/run-record.js';
import { HealthPoller } from './health-poller.js';
import type { EnginePorts } from './own-run.js';
import { firstFailure, type ProgramRun, runOrThrow, runStamped } from './programs.js';

/** The source distribution that holds the original suite, and what reading its metadata needs. */
const distribution = 'lmcache==0.3.13';
const buildRequirements = ['setuptools>=77', 'setuptools_scm', 'wheel', 'packaging', 'ninja'];

/**
 * Downloads the original suite from PyPI and unpacks it.
 * @returns the root of its checkout
 */
export async function downloadOriginalSuite(directory: string, signal: AbortSignal): Promise<string> {
  await mkdir(directory, { recursive: true });
  const options = { environment: { ...process.env, NO_CUDA_EXT: '1' }, workingDirectory: directory, signal };
  await runOrThrow(['python3', '-m', 'venv', 'tools'], options);
  const pip = path.join(directory, 'tools', 'bin', 'pip');
  await runOrThrow([pip, 'install', '--quiet', '--upgrade', ...buildRequirements], options);
  const download = ['download', '--quiet', '--no-deps', '--no-binary', 'lmcache', '--no-build-isolation', distribution];
  await runOrThrow([pip, ...download], options);
  const archive = (await readdir(directory)).find((name) => name.endsWith('.tar.gz'));
  if (archive === undefined) throw new Error(`pip left no source distribution of ${distribution}.`);
  await runOrThrow(['tar', '-xzf', archive], options);
  return path.join(directory, archive.slice(0, -'.tar.gz'.length));
}

export interface SuiteRun {
  readonly exitCode: number | null;
  readonly wallSeconds: number;
  /** By the same formula as ours, from what the suite prints and when its engines first served. */
  readonly timings: Timings;
  /** From an engine's first HTTP 200 to the suite's own line about it. */
  readonly readyNoticedMs: readonly number[];
  /** Its first line about a failure. */
  readonly failure: string | null;
}

/** One run of the suite's own main script. */
export async function measureSuiteRun(options: {
  readonly suiteRoot: string;
  readonly ports: EnginePorts;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}): Promise<SuiteRun> {
  const { ports, suiteRoot, signal } = options;
  const poller = new HealthPoller({
    vllm: `http://127.0.0.1:${ports.vllm}/health`,
    baseline: `http://127.0.0.1:${ports.baseline}/health`,
    lmcache: ports.lmcache,
  });
  try {
    const script = path.join(suiteRoot, '.buildkite', 'scripts', 'multiprocessing-test', 'run-mp-test.sh');
    const run = await runStamped(['bash', script], {
      signal,
      workingDirectory: suiteRoot,
      environment: {
        ...options.environment,
        VLLM_PORT: String(ports.vllm),
        VLLM_BASELINE_PORT: String(ports.baseline),
        LMCACHE_PORT: String(ports.lmcache),
      },
    });
    signal.throwIfAborted();
    return {
      exitCode: run.exitCode,
      wallSeconds: (run.endedAt - run.startedAt) / 1000,
      timings: timingsOf(suiteEvents(run, poller.firstServed)),
      readyNoticedMs: readyNoticed(run, poller.firstServed),
      failure: firstFailure(run),
    };
  } finally {
    await poller.stop();
  }
}

/** What the suite prints when its parts begin and end. Everything that is a workload's program counts as workload. */
const marks: readonly { readonly pattern: RegExp; readonly event: (match: readonly string[]) => RunEventInput[] }[] = [
  {
    pattern: /^=== Launching (LMCache|vLLM|vLLM baseline) container/,
    event: ([, engine = '']) => [{ type: 'engine-starting', role: roleOf(engine), name: roleOf(engine) }],
  },
  {
    pattern: /^=== Running (lm_eval|vllm bench serve|long_doc_qa) \((.*)\) ===$/,
    event: ([, workload = '', id = '']) => [{ type: 'workload-started', id, workload, target: id }],
  },
  {
    pattern: /^✅ (.*?)(?: benchmark)? completed$/,
    event: ([, id = '']) => [{ type: 'workload-finished', id, ok: true }],
  },
  {
    pattern: /^--- Container logs for (.*) ---$/,
    event: ([, name = '']) => [{ type: 'engine-stopping', role: 'vllm', name }],
  },
  {
    pattern: /^Container (.*) cleaned up$/,
    event: ([, name = '']) => [{ type: 'engine-exited', role: 'vllm', name, expected: true, exit: null }],
  },
];

function roleOf(engine: string): 'lmcache' | 'vllm' | 'baseline' {
  return engine === 'LMCache' ? 'lmcache' : engine === 'vLLM' ? 'vllm' : 'baseline';
}

/** The suite's run as events of ours, so that one formula tells where the time of both went. */
export function suiteEvents(run: ProgramRun, firstServed: ReadonlyMap<string, number>): readonly RunEvent[] {
  const command = ['run-mp-test.sh'];
  const events: { at: number; input: RunEventInput }[] = [
    {
      at: run.startedAt,
      input: { type: 'run-started', buildId: 'original-suite', command, engine: 'sim', runtime: 'docker' },
    },
  ];
  for (const { at, text } of run.lines) {
    for (const { pattern, event } of marks) {
      const match = pattern.exec(text);
      if (match) events.push(...event(match).map((input) => ({ at, input })));
    }
  }
  for (const [role, at] of firstServed) {
    if (role !== 'vllm' && role !== 'baseline' && role !== 'lmcache') continue;
    events.push({ at, input: { type: 'engine-ready', role, name: role, readyAfterSeconds: 0 } });
  }
  events.sort((a, b) => a.at - b.at);
  events.push({ at: run.endedAt, input: { type: 'log', step: null, message: 'ended' } });
  return events.map(({ at, input }) => ({
    ...input,
    t: (at - run.startedAt) / 1000,
    at: new Date(at).toISOString(),
    pid: 1,
  }));
}

function readyNoticed(run: ProgramRun, firstServed: ReadonlyMap<string, number>): number[] {
  return run.lines.flatMap(({ at, text }) => {
    const engine = /^✅ (vLLM .*) is ready!/.exec(text)?.[1];
    const servedAt = engine && firstServed.get(engine.startsWith('vLLM baseline') ? 'baseline' : 'vllm');
    return typeof servedAt === 'number' ? [at - servedAt] : [];
  });
}
