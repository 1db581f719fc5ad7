import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, createWriteStream, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeFolder } from '../../results-schema/make-folder.js';
import { fetchPage, nvidiaSmi, readEvents, type SeenEvent, until } from './machine.js';

export interface SessionOptions {
  /** Everything of the session goes below it. */
  readonly directory: string;
  /** The command that is lmcache-ci. */
  readonly launcher: readonly string[];
  /** Seconds after which nothing new is started, and what still runs is ended. */
  readonly budgetSeconds: number;
  /** Smaller parameters, for trying the session itself. */
  readonly quick: boolean;
  /** Items to leave out. */
  readonly skip: ReadonlySet<string>;
}

type Variables = Readonly<Record<string, string | undefined>>;

export interface RunRequest {
  readonly id: string;
  readonly args?: readonly string[];
  readonly environment: Variables;
  /** It is ended after that time: SIGTERM, as by a CI. */
  readonly limitSeconds: number;
  /** Ports whose metrics are kept: vLLM, baseline, LMCache. */
  readonly ports?: readonly [number, number, number];
  /** What is done to it while it runs. Its end is not waited for. */
  during?(run: Watched): Promise<void>;
}

/** One `lmcache-ci mp-test` while it runs. */
export interface Watched {
  readonly id: string;
  readonly resultsDirectory: string;
  readonly child: ChildProcess;
  /** Resolves with the first event like this; null when the run ends without. */
  event(isWanted: (event: SeenEvent) => boolean): Promise<SeenEvent | null>;
}

/** What came of one. */
export interface RunOutcome {
  readonly id: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly wallSeconds: number;
  readonly wasCut: boolean;
}

const lookEveryMs = 200;
/** Between SIGTERM and SIGKILL of a run that has used its time. */
const endLimitSeconds = 45;

/** Runs `lmcache-ci mp-test` again and again within a time, unattended, and keeps what each leaves. */
export class Session {
  readonly options: SessionOptions;
  readonly #started = performance.now();
  readonly #outcomes: RunOutcome[] = [];

  constructor(options: SessionOptions) {
    this.options = options;
    makeFolder(options.directory);
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  get leftSeconds(): number {
    return this.options.budgetSeconds - this.seconds;
  }

  note(message: string): void {
    const line = `[${this.seconds.toFixed(1).padStart(7)}] ${message}\n`;
    appendFileSync(path.join(this.options.directory, 'progress.log'), line);
  }

  /** A folder beside the run's results, for what is seen from outside. */
  beside(id: string): string {
    const folder = path.join(this.options.directory, 'beside', id);
    makeFolder(folder);
    return folder;
  }

  keep(id: string, name: string, content: string): void {
    writeFileSync(path.join(this.beside(id), name), content);
  }

  resultsDirectory(id: string): string {
    return path.join(this.options.directory, 'runs', id);
  }

  /**
   * One item of the session: left out where it was asked to, or where its time is not left; what goes wrong in it is written
   * down, and the next one has its turn.
   */
  async attempt(id: string, seconds: number, work: () => Promise<unknown>): Promise<void> {
    if (this.options.skip.has(id)) {
      this.note(`${id}: left out, as asked for`);
    } else if (this.leftSeconds < seconds) {
      this.note(`${id}: left out, it takes about ${seconds} s and ${this.leftSeconds.toFixed(0)} s are left`);
    } else {
      await work().catch((error: unknown) => {
        this.note(`${id}: failed: ${error instanceof Error ? error.stack : error}`);
      });
    }
  }

  async run(request: RunRequest): Promise<RunOutcome> {
    const { id, environment, args = [] } = request;
    const started = performance.now();
    const [program = '', ...first] = this.options.launcher;
    const command = [...first, 'mp-test', ...args];
    const variables = { ...environment, BUILD_ID: id, RESULTS_DIR: this.resultsDirectory(id) };
    this.keep(id, 'command.txt', `${shellText(variables)} lmcache-ci ${['mp-test', ...args].join(' ')}\n`);
    this.keep(id, 'nvidia-smi-before.xml', await nvidiaSmi('-q', '-x'));
    this.note(`${id}: started`);
    const child = spawn(program, command, { env: { ...process.env, ...variables }, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = createWriteStream(path.join(this.beside(id), 'output.txt'));
    child.stdout?.pipe(output, { end: false });
    child.stderr?.pipe(output, { end: false });
    let hasEnded = false;
    const end = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      child.once('error', (error) => {
        this.note(`${id}: ${error.message}`);
        resolve({ code: null, signal: null });
      });
      child.once('close', (code, signal) => resolve({ code, signal }));
    }).then((result) => {
      hasEnded = true;
      return result;
    });
    const watched: Watched = {
      id,
      resultsDirectory: this.resultsDirectory(id),
      child,
      event: async (isWanted) => {
        let found: SeenEvent | undefined;
        const look = async () => {
          found = (await readEvents(this.resultsDirectory(id))).find(isWanted);
          return found !== undefined || hasEnded;
        };
        await until(look, request.limitSeconds * 1000);
        return found ?? null;
      },
    };
    let wasCut = false;
    const limit = new AbortController();
    const limiting = delay(Math.min(request.limitSeconds, Math.max(1, this.leftSeconds)) * 1000, undefined, {
      signal: limit.signal,
    })
      .then(async () => {
        wasCut = true;
        this.note(`${id}: its time is over, SIGTERM`);
        child.kill('SIGTERM');
        await delay(endLimitSeconds * 1000, undefined, { signal: limit.signal });
        child.kill('SIGKILL');
      })
      .catch(() => undefined);
    const following = this.#follow(watched, request.ports ?? null, () => hasEnded);
    const doing = request.during?.(watched).catch((error: unknown) => this.note(`${id}: ${String(error)}`));
    const { code, signal } = await end;
    limit.abort();
    await Promise.all([limiting, following, doing]);
    output.end();
    this.keep(id, 'nvidia-smi-after.xml', await nvidiaSmi('-q', '-x'));
    const wallSeconds = Number(((performance.now() - started) / 1000).toFixed(1));
    const outcome = { id, exitCode: code, signal, wallSeconds, wasCut };
    this.#outcomes.push(outcome);
    writeFileSync(path.join(this.options.directory, 'outcomes.json'), `${JSON.stringify(this.#outcomes, null, 2)}\n`);
    this.note(`${id}: ended with ${code ?? signal} after ${wallSeconds} s`);
    return outcome;
  }

  /**
   * Another command of lmcache-ci, with what it says in `<name>.txt` beside the run.
   * @returns its exit code; null when it was ended by a signal, that of its limit included
   */
  async command(
    id: string,
    name: string,
    args: readonly string[],
    limitSeconds: number,
    variables: Variables = {},
  ): Promise<number | null> {
    const [program = '', ...first] = this.options.launcher;
    const child = spawn(program, [...first, ...args], {
      env: { ...process.env, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: Math.round(limitSeconds * 1000),
    });
    const output = createWriteStream(path.join(this.beside(id), `${name}.txt`));
    child.stdout?.pipe(output, { end: false });
    child.stderr?.pipe(output, { end: false });
    const code = await new Promise<number | null>((resolve) => {
      child.once('error', () => resolve(null));
      child.once('close', resolve);
    });
    output.end();
    this.note(`${id}: ${name} ended with ${code}`);
    return code;
  }

  /** Writes down steps as they end, and keeps the metrics when the engines are ready and after every step. */
  async #follow(run: Watched, ports: RunRequest['ports'] | null, hasEnded: () => boolean): Promise<void> {
    let seen = 0;
    for (;;) {
      const last = hasEnded();
      const events = await readEvents(run.resultsDirectory);
      for (const event of events.slice(seen)) {
        const step = String(event['step'] ?? '');
        if (event.type === 'engine-ready') this.note(`${run.id}: ${event['role']} ready`);
        if (event.type === 'workload-started') this.note(`${run.id}: ${event['workload']} on ${event['target']}`);
        if (event.type === 'engine-exited')
          this.note(`${run.id}: ${event['role']} exited ${JSON.stringify(event['exit'])}`);
        if (event.type !== 'step-finished') continue;
        this.note(`${run.id}: ${step} ${JSON.stringify(event['result']).slice(0, 300)}`);
        if (ports && !last && /wait-for-vllm|lm-eval|vllm-bench|long-doc-qa/.test(step))
          void this.#keepMetrics(run.id, step, ports);
      }
      seen = events.length;
      if (last) return;
      await delay(lookEveryMs);
    }
  }

  async #keepMetrics(id: string, step: string, ports: readonly [number, number, number]): Promise<void> {
    const roles = ['vllm', 'baseline', 'lmcache'];
    await Promise.all(
      ports.map(async (port, index) => {
        const page = await fetchPage(`http://127.0.0.1:${port}/metrics`);
        if (page !== null) this.keep(id, `metrics-${roles[index]}-after-${step}.txt`, page);
      }),
    );
  }
}

function shellText(variables: Variables): string {
  return Object.entries(variables)
    .map(
      ([name, value]) =>
        `${name}=${/^[\w@%+=:,./-]*$/.test(value ?? '') ? value : `'${value?.replaceAll("'", `'\\''`)}'`}`,
    )
    .join(' ');
}
