// One run's corner of the machine for the chaos program: its own home, registry and results, and how it is judged.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../../dist/engines/wait-until.js';
import { readRun } from '../../dist/results-schema/read-run.js';
import { statusOf } from '../../dist/results-schema/run-status.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const commandLine = path.join(root, 'pipeline', 'lmcache-ci.mjs');
const runLimitMs = 120_000;
export const goneLimitMs = 5000;

/** Runs are small: it is their ends that are looked at. */
const smallRun = {
  NUM_DOCUMENTS: '2',
  NUM_PROMPTS: '2',
  LIMIT: '4',
  LM_EVAL: 'native',
  // Faster, and the simulated time-outs between engine and cache shrink to what a busy machine exceeds by itself.
  SIM_SPEED: '10',
  ENGINE: 'sim',
};

export class Arena {
  constructor(buildId, runtime) {
    this.buildId = buildId;
    this.runtime = runtime;
    this.directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-chaos-'));
    this.resultsDir = path.join(this.directory, 'results');
    for (const name of ['home', 'tmp', 'runtime', 'work']) mkdirSync(path.join(this.directory, name), { mode: 0o700 });
  }

  /** Starts a run as a process group of its own, as a shell's job is. */
  start(environment = {}) {
    const ports = Object.fromEntries(
      ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT'].map((name) => [name, 'auto']),
    );
    const child = spawn(process.execPath, [commandLine, 'mp-test', '--only', 'lm-eval'], {
      cwd: path.join(this.directory, 'work'),
      env: {
        PATH: process.env.PATH,
        HOME: path.join(this.directory, 'home'),
        TMPDIR: path.join(this.directory, 'tmp'),
        XDG_RUNTIME_DIR: path.join(this.directory, 'runtime'),
        ...(process.env.DOCKER_HOST === undefined ? {} : { DOCKER_HOST: process.env.DOCKER_HOST }),
        BUILD_ID: this.buildId,
        RESULTS_DIR: this.resultsDir,
        RUNTIME: this.runtime,
        ...smallRun,
        ...ports,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const limit = setTimeout(() => killQuietly(-child.pid, 'SIGKILL'), runLimitMs);
    const ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        clearTimeout(limit);
        // What still holds the pipes (a keeper does not) must not be waited for.
        resolve({ code, signal, output: () => output });
      });
    });
    return { pid: child.pid, ended, output: () => output };
  }

  /** The registry's record of the run; null when there is none. */
  record() {
    try {
      return JSON.parse(
        readFileSync(path.join(this.directory, 'runtime', 'lmcache-ci', `${this.buildId}.json`), 'utf8'),
      );
    } catch {
      return null;
    }
  }

  /** Waits for an engine's process to be there. @returns its pid, or null when the run ended before that. */
  async enginePid(role, ended) {
    let isOver = false;
    void ended.then(() => (isOver = true));
    let pid = null;
    await waitUntil(() => {
      const state = this.record()?.engines?.[role]?.state;
      if (state?.handle?.kind === 'process') pid = state.handle.pid;
      return pid !== null || isOver;
    }, runLimitMs);
    return pid;
  }

  /** Whatever was started here names this directory or the run in its environment; keepers and engines too. */
  processes() {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .filter((name) => {
        try {
          const environment = readFileSync(`/proc/${name}/environ`, 'utf8');
          const [, state] = /^\d+ \(.*\) (\S)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
          return state !== 'Z' && (environment.includes(this.directory) || environment.includes(this.buildId));
        } catch {
          return false;
        }
      })
      .map((name) => `${name} ${commandOf(name)}`);
  }

  /** @returns what is wrong, an empty list when nothing of the run is left within 5 s. */
  async leftovers() {
    await waitUntil(() => this.processes().length === 0, goneLimitMs);
    const left = this.processes().map((name) => `process ${name}`);
    if (this.record() !== null) left.push('its record in the registry');
    if (this.runtime === 'docker') left.push(...(await containersOf(this.buildId)).map((name) => `container ${name}`));
    return left;
  }

  /** The results after the end; problems are files that cannot be read as what they are. */
  async results(directory = this.resultsDir) {
    const run = await readRun(directory);
    const status = await statusOf(run, false);
    const invalid = status.files
      .filter(({ state }) => state === 'invalid')
      .map(({ path: file, why }) => `${file}: ${why}`);
    const verdict = run.events.findLast(({ type }) => type === 'run-finished')?.verdict ?? null;
    return { status, verdict, events: run.events, problems: [...run.problems, ...invalid] };
  }

  remove() {
    for (const name of this.processes()) killQuietly(Number.parseInt(name, 10), 'SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function killQuietly(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Names of a run's containers, whatever their state. */
async function containersOf(buildId) {
  const { openContainerHost } = await import('../../dist/docker/client.js');
  const host = openContainerHost();
  const list = () => host.listContainers([`ci.lmcache.build-id=${buildId}`]);
  const deadline = Date.now() + goneLimitMs;
  let found = await list();
  while (found.length > 0 && Date.now() < deadline) found = await list();
  return found.map(({ name }) => name);
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 80);
  } catch {
    return '';
  }
}
