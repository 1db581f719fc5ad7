import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test as base, expect } from 'vitest';
import { findFreePorts } from '../../engines/free-ports.js';
import { type LiveRun, liveRunSchema } from '../../engines/live-run.js';
import { waitUntil } from '../../engines/wait-until.js';
import { type RunEvent, runEventSchema } from '../../results-schema/events.js';
import { type RunRecord, runRecordSchema } from '../../results-schema/run-record.js';

/** The checkout under test. */
export const root = fileURLToPath(new URL('../../', import.meta.url));
const commandLine = path.join(root, 'pipeline', 'lmcache-ci.mjs');

export type Environment = Readonly<Record<string, string | undefined>>;

/** How a program ended, with all it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both. */
  readonly output: string;
}

/** A program that runs: the leader of its own process group, as a shell's foreground job is. */
export interface Running {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  output(): string;
  /** Resolves once its output matches; fails when it ends before that. */
  says(pattern: RegExp): Promise<void>;
  /** To the whole group, as a terminal does. */
  signalGroup(signal: NodeJS.Signals): void;
  /** To the process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Closes our end of its pipes. */
  stopReading(): void;
}

/** One test's corner of the machine: its own home, temporary directory and registry of live runs. */
export interface Bench {
  readonly directory: string;
  readonly buildId: string;
  readonly resultsDir: string;
  readonly registryDir: string;
  /** What every program started here gets: nothing of the developer's or the CI's environment. */
  readonly environment: Readonly<Record<string, string>>;
  startProgram(command: readonly string[], options?: StartOptions): Running;
  /** `node pipeline/lmcache-ci.mjs ...` in an empty directory. */
  start(args: readonly string[], environment?: Environment): Running;
  run(args: readonly string[], environment?: Environment): Promise<Ended>;
  /** `npx zx steps/<script>.mjs` in the checkout. */
  zx(script: string, environment?: Environment, args?: readonly string[]): Promise<Ended>;
  record(resultsDir?: string): RunRecord;
  events(resultsDir?: string): readonly RunEvent[];
  /** For what must lie outside of the bench, as results do by default. */
  removeLater(directory: string): void;
  /** The registry's only record. */
  liveRun(): LiveRun;
  /** Waits for the engine that was launched with this port. */
  engineProcess(port: number): Promise<number>;
  /** Fails unless every process, record, port and temporary file of this bench is gone. */
  expectNothingLeft(): Promise<void>;
}

export interface StartOptions {
  readonly environment?: Environment;
  readonly directory?: string;
  /** Default: closed. */
  readonly uid?: number;
}

/** Small enough for a whole run within seconds; the GPU's cache is too small for the documents, so that LMCache must serve. */
export const smallRun = {
  GPU_MEMORY_UTILIZATION: '0.26',
  NUM_DOCUMENTS: '20',
  DOCUMENT_LENGTH: '4000',
  OUTPUT_LEN: '10',
  NUM_PROMPTS: '6',
  RANDOM_INPUT_LEN: '6000',
  LIMIT: '8',
  LM_EVAL: 'native',
  SIM_SPEED: '10',
  MAX_LMCACHE_TTFT: '2',
  MAX_SLOWDOWN_PERCENT: '50',
} as const;

/** For tests side by side, which share two cores: there no time is judged. */
const unjudged = { MAX_LMCACHE_TTFT: '100', MAX_LMCACHE_QUERY_ROUND_TIME: '100' } as const;

const endLimitMs = 120_000;
const startLimitMs = 30_000;
const goneLimitMs = 2000;

/** `test` with a bench; when the test is over, nothing of it may be left. */
function testWith(settings: Readonly<Record<string, string>>) {
  return base.extend<{ bench: Bench }>({
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads the fixtures that are used from this pattern
    bench: async ({}, use) => {
      const bench = new TestBench(settings);
      try {
        await use(bench);
        await bench.expectNothingLeft();
      } finally {
        bench.remove();
      }
    },
  });
}
export const test = testWith({ ...smallRun, ...unjudged });
/** For tests that run alone: their times are judged. */
export const measuringTest = testWith(smallRun);

class TestBench implements Bench {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-e2e-'));
  readonly buildId = `e2e-${randomBytes(4).toString('hex')}`;
  readonly resultsDir = path.join(this.directory, 'results');
  readonly registryDir = path.join(this.directory, 'runtime', 'lmcache-ci');
  readonly environment: Readonly<Record<string, string>>;
  readonly #ports = new Set<number>();
  readonly #outside: string[] = [];

  constructor(settings: Readonly<Record<string, string>>) {
    const made = (name: string) => {
      const directory = path.join(this.directory, name);
      mkdirSync(directory, { mode: 0o700 });
      return directory;
    };
    this.environment = {
      PATH: process.env.PATH ?? '',
      HOME: made('home'),
      TMPDIR: made('tmp'),
      XDG_RUNTIME_DIR: made('runtime'),
      BUILD_ID: this.buildId,
      RESULTS_DIR: this.resultsDir,
      VENV_DIR: path.join(root, '.venv'),
      ENGINE: 'sim',
      VLLM_PORT: 'auto',
      VLLM_BASELINE_PORT: 'auto',
      LMCACHE_PORT: 'auto',
      LMCACHE_HTTP_PORT: 'auto',
      ...settings,
    };
    made('work');
  }

  startProgram(command: readonly string[], options: StartOptions = {}): Running {
    const [program = '', ...args] = command;
    const environment = Object.entries({ ...this.environment, ...options.environment });
    const child = spawn(program, args, {
      cwd: options.directory ?? path.join(this.directory, 'work'),
      env: Object.fromEntries(environment.filter(([, value]) => value !== undefined)),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
    return follow(child, [program, ...args].join(' '));
  }

  start(args: readonly string[], environment: Environment = {}): Running {
    return this.startProgram([process.execPath, commandLine, ...args], { environment });
  }

  run(args: readonly string[], environment: Environment = {}): Promise<Ended> {
    return this.start(args, environment).ended;
  }

  zx(script: string, environment: Environment = {}, args: readonly string[] = []): Promise<Ended> {
    return this.startProgram(['npx', 'zx', `steps/${script}.mjs`, ...args], { environment, directory: root }).ended;
  }

  record(resultsDir = this.resultsDir): RunRecord {
    const record = runRecordSchema.parse(JSON.parse(readFileSync(path.join(resultsDir, 'run.json'), 'utf8')));
    for (const { name, value } of record.settings) if (name.endsWith('_PORT')) this.#ports.add(Number(value));
    return record;
  }

  events(resultsDir = this.resultsDir): readonly RunEvent[] {
    const lines = readFileSync(path.join(resultsDir, 'events.jsonl'), 'utf8').split('\n');
    expect(lines.pop()).toBe('');
    return lines.map((line) => runEventSchema.parse(JSON.parse(line)));
  }

  removeLater(directory: string): void {
    this.#outside.push(directory);
  }

  liveRun(): LiveRun {
    const [record, ...more] = filesIn(this.registryDir).filter((name) => name.endsWith('.json'));
    expect(more).toEqual([]);
    return liveRunSchema.parse(JSON.parse(readFileSync(path.join(this.registryDir, record ?? 'none'), 'utf8')));
  }

  async engineProcess(port: number): Promise<number> {
    const find = () =>
      this.#processes().find(
        ({ command }) => / (vllm serve|lmcache server) /.test(command) && command.includes(` ${port}`),
      );
    expect(await waitUntil(() => find() !== undefined, startLimitMs), `an engine with port ${port}`).toBe(true);
    return find()?.pid ?? 0;
  }

  async expectNothingLeft(): Promise<void> {
    await waitUntil(() => this.#processes().length === 0, goneLimitMs);
    expect(this.#processes(), 'processes').toEqual([]);
    expect(filesIn(this.registryDir), 'records of live runs').toEqual([]);
    expect(filesIn(path.join(this.directory, 'tmp')), 'temporary files').toEqual([]);
    for (const port of this.#ports) expect(await isOpen(port), `port ${port} is open`).toBe(false);
  }

  remove(): void {
    for (const { pid } of this.#processes()) killQuietly(pid);
    for (const directory of [this.directory, ...this.#outside]) rmSync(directory, { recursive: true, force: true });
  }

  /** Whatever was started here names this bench in its environment: its home, or its run. */
  #processes(): readonly { readonly pid: number; readonly command: string }[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        try {
          const environment = readFileSync(`/proc/${name}/environ`, 'utf8');
          if (!environment.includes(this.directory) && !environment.includes(this.buildId)) return [];
          const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
          return [{ pid: Number(name), command }];
        } catch {
          // Ended while we looked, or another user's.
          return [];
        }
      });
  }
}

function follow(child: ChildProcess, command: string): Running {
  const said = { stdout: '', stderr: '' };
  const output = () => `${said.stdout}${said.stderr}`;
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
      for (const listener of listeners) listener();
    });
  }
  const { pid } = child;
  if (pid === undefined) throw new Error(`"${command}" cannot be started`);
  let isOver = false;
  const ended = new Promise<Ended>((resolve, reject) => {
    const limit = setTimeout(() => {
      killQuietly(-pid);
      reject(new Error(`"${command}" did not end within ${endLimitMs / 1000} s:\n${output()}`));
    }, endLimitMs);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(limit);
      isOver = true;
      resolve({ code, signal, ...said, output: output() });
      for (const listener of listeners) listener();
    });
  });
  // Whoever waits for the end hears of a failure; whoever does not must not crash the test run.
  ended.catch(() => undefined);
  return {
    pid,
    ended,
    output,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.test(output());
          if (!found && !isOver) return;
          listeners.delete(look);
          if (found) resolve();
          else reject(new Error(`"${command}" never said ${pattern}:\n${output()}`));
        };
        listeners.add(look);
        look();
      }),
    signalGroup: (signal) => process.kill(-pid, signal),
    kill: (signal) => process.kill(pid, signal),
    stopReading: () => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
  };
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { recursive: true }).map(String);
  } catch {
    return [];
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** A port that nobody listens on; whoever is told to use it should do so soon. */
export async function freePort(): Promise<number> {
  const [port = 0] = await findFreePorts(1);
  return port;
}

/** A port of 127.0.0.1 that this process listens on. */
export async function takePort(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
