import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { EngineRole, LaunchSpec } from '../../engines/launch-spec.js';
import type { LiveRun } from '../../engines/live-run.js';
import { identifySelf, readBootId, readPidNamespace, readProcessStat } from '../../engines/process-identity.js';
import { waitUntil } from '../../engines/wait-until.js';

export const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

const directories: string[] = [];
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  }
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A directory that is removed after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-engines-'));
  directories.push(directory);
  return directory;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}

/** A fake engine's launch spec on the process runtime. */
export async function fakeSpec(role: EngineRole, ...behaviour: readonly string[]): Promise<LaunchSpec> {
  const port = await freePort();
  return {
    role,
    name: `${role}-fake`,
    program: role === 'lmcache' ? 'lmcache-server' : 'vllm-serve',
    args: ['--port', String(port), ...behaviour],
    environment: {},
    container: { image: 'none', entrypoint: null, mounts: [], gpu: null },
    command: [process.execPath, path.join(fixtures, 'fake-engine.mjs')],
    ports: [port],
    healthUrl: `http://127.0.0.1:${port}/health`,
  };
}

/** A run of this very process, not yet in any registry. */
export function sampleRun(changes: Partial<LiveRun> = {}): LiveRun {
  return {
    version: 1,
    buildId: 'sample',
    bootId: readBootId(),
    pidNamespace: readPidNamespace(),
    orchestrator: identifySelf(),
    keeper: null,
    socketPath: null,
    mode: 'attached',
    createdAt: '2026-11-22T00:00:00.000Z',
    resultsDir: '/nowhere',
    engine: 'sim',
    runtime: 'process',
    ports: { vllm: 1, baseline: 2, lmcache: 3, lmcacheHttp: 4 },
    settings: {},
    gpus: [],
    engines: {},
    processGroups: [],
    ...changes,
  };
}

/** A child in its own process group that talks in JSON lines; killed after the test. */
export interface JsonChild {
  readonly child: ChildProcess;
  readonly pid: number;
  next(): Promise<Record<string, unknown>>;
  say(text: string): void;
}

export function startJsonChild(script: string, args: readonly string[]): JsonChild {
  const child = spawn(process.execPath, [path.join(fixtures, script), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  children.push(child);
  // A child that is told to end may be gone before the telling is.
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    pid: child.pid ?? 0,
    async next() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${script} ended without an answer`);
      return JSON.parse(value);
    },
    say: (text) => void child.stdin.write(`${text}\n`),
  };
}

/** A process that no longer runs; a zombie counts as gone. */
export function isGone(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat === null || stat.state === 'Z';
}

export async function expectSoon(condition: () => boolean, what: string, limitMs = 5000): Promise<void> {
  if (!(await waitUntil(condition, limitMs))) throw new Error(`not within ${limitMs} ms: ${what}`);
}

export function isFile(file: string): boolean {
  return existsSync(file);
}
