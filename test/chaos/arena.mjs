// One run's corner of the machine for the chaos program: its own home, registry and results, and how it is judged.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../../dist/engines/wait-until.js';
import { readRun } from '../../dist/results-schema/read-run.js';
import { statusOf } from '../../dist/results-schema/run-status.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const commandLine = path.join(root, 'pipeline', 'lmcache-ci.mjs');
const runLimitMs = 240_000;
const goneLimitMs = 5000;

/** Runs are small: it is their ends that are looked at. */
const smallRun = {
  NUM_DOCUMENTS: '2',
  NUM_PROMPTS: '2',
  LIMIT: '4',
  LM_EVAL: 'native',
  // Faster, and the simulated time-outs between engine and cache shrink to what a busy machine exceeds by itself.
  SIM_SPEED: '10',
  ENGINE: 'sim',
  // What hangs shall end by itself.
  MAX_WAIT_SECONDS: '60',
  TEST_TIMEOUT_SECONDS: '60',
};

export class Arena {
  static #open = new Set();

  /** @param daemon that makes the containers; null on the process runtime */
  constructor(buildId, runtime, daemon = null) {
    Arena.#open.add(this);
    this.buildId = buildId;
    this.runtime = runtime;
    this.daemon = daemon;
    this.directory = mkdtempSync(path.join(tmpdir(), 'lmcache-ci-chaos-'));
    this.resultsDir = path.join(this.directory, 'results');
    this.faultyResults = null;
    this.afterwards = null;
    for (const name of ['home', 'tmp', 'runtime', 'work']) mkdirSync(path.join(this.directory, name), { mode: 0o700 });
  }

  /** Starts a run as a process group of its own, as a shell's job is. */
  start(environment = {}, only = 'lm-eval') {
    const ports = Object.fromEntries(
      ['VLLM_PORT', 'VLLM_BASELINE_PORT', 'LMCACHE_PORT', 'LMCACHE_HTTP_PORT'].map((name) => [name, 'auto']),
    );
    const child = spawn(process.execPath, [commandLine, 'mp-test', '--only', only], {
      cwd: path.join(this.directory, 'work'),
      env: {
        PATH: process.env.PATH,
        HOME: path.join(this.directory, 'home'),
        TMPDIR: path.join(this.directory, 'tmp'),
        XDG_RUNTIME_DIR: path.join(this.directory, 'runtime'),
        ...(this.daemon?.dockerHost ? { DOCKER_HOST: this.daemon.dockerHost } : {}),
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

  /** Waits for something to stand in the run's record. @returns null when the run ended before that */
  async #recorded(read, ended) {
    let isOver = false;
    void ended.then(() => (isOver = true));
    let found = null;
    await waitUntil(() => {
      found = read(this.record()) ?? null;
      return found !== null || isOver;
    }, runLimitMs);
    return found;
  }

  /** Waits for an engine's process to be there. @returns its pid, or null when the run ended before that. */
  async enginePid(role, ended) {
    const handle = await this.#recorded((record) => record?.engines?.[role]?.state?.handle, ended);
    if (handle === null || handle.kind === 'process') return handle?.pid ?? null;
    const shown = this.daemon.ask('inspect', '--format', '{{.State.Pid}}', handle.id);
    // A container that has ended has pid 0, which is our own group to `kill`.
    return Number(shown.stdout) || null;
  }

  /** Waits for the first container of the run, in whatever state. */
  async firstContainer(ended) {
    let isOver = false;
    void ended.then(() => (isOver = true));
    await waitUntil(() => isOver || this.#names().length > 0, runLimitMs);
  }

  keeperPid(ended) {
    return this.#recorded((record) => record?.keeper?.pid, ended);
  }

  async engineUrl(role, ended) {
    const url = await this.#recorded((record) => record?.engines?.[role]?.spec?.healthUrl, ended);
    return url === null ? null : new URL(url).origin;
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
    left.push(...readdirSync(path.join(this.directory, 'tmp')).map((name) => `temporary file ${name}`));
    if (this.runtime === 'docker') {
      left.push(...(await this.#containers()).map((name) => `container ${name}`));
      left.push(...(await this.#forgotten()).map((name) => `forgotten by its daemon: ${name}`));
    }
    return left;
  }

  /** What the daemon has forgotten, and what does not go within 5 s. Other lanes' containers come and go. */
  async #forgotten() {
    let left = this.daemon.forgotten();
    await waitUntil(() => {
      const before = new Set(left.map(({ pid }) => pid));
      left = left.length === 0 ? [] : this.daemon.forgotten().filter(({ pid }) => before.has(pid));
      return left.length === 0;
    }, goneLimitMs);
    return left.map(({ what }) => what);
  }

  /** Names of the run's containers that do not go within 5 s, whatever their state. */
  async #containers() {
    await waitUntil(() => this.#names().length === 0, goneLimitMs);
    return this.#names();
  }

  #names() {
    const filter = `label=ci.lmcache.build-id=${this.buildId}`;
    return this.daemon.list('--filter', filter, '--format', '{{.Names}}');
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

  /** For the next run of the same place: what the last ones left is judged already. */
  forgetResults() {
    rmSync(this.resultsDir, { recursive: true, force: true });
  }

  static removeAll() {
    for (const arena of Arena.#open) arena.remove();
  }

  remove() {
    Arena.#open.delete(this);
    this.afterwards?.();
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

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 80);
  } catch {
    return '';
  }
}
