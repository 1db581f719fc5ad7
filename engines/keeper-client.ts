import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { makeFolder } from '../results-schema/make-folder.js';
import { EngineStartError } from './errors.js';
import { type KeeperAnswer, type KeeperRequestBody, keeperAnswerSchema } from './keeper-protocol.js';

/** While an answer is due the keeper is asked whether it lives; after this many questions without a word it counts as gone. */
const pingEveryMs = 3000;
const silentPings = 5;

type Answer = Extract<KeeperAnswer, { ok: true }>;
export type KeeperEvent = Extract<KeeperAnswer, { event: string }>;

/** The line to a run's keeper, from the orchestrator that started it or from a process that joined. */
export interface KeeperClient {
  /** Resolves when the keeper is gone, hangs, or the line is cut. */
  readonly closed: Promise<void>;
  readonly isClosed: boolean;
  /**
   * @throws EngineStartError as the keeper's runtime threw it; an Error when the keeper is gone.
   */
  request(body: KeeperRequestBody): Promise<Answer>;
  onEvent(listener: (event: KeeperEvent) => void): void;
  /** Ends our side. The orchestrator's end without `detach` ends the run. */
  close(): Promise<void>;
}

/**
 * By these, inherited, CI systems find what a job has started, and kill it at the job's end: GitHub's runner (with SIGKILL),
 * Jenkins. Whoever cleans up after the job must not be among it.
 */
const jobMarks: ReadonlySet<string> = new Set(['RUNNER_TRACKING_ID', 'JENKINS_NODE_COOKIE', 'JENKINS_SERVER_COOKIE']);

/** The keeper's compiled program, also when this module runs from its TypeScript source (tests). */
function keeperMainPath(): string {
  const here = fileURLToPath(import.meta.url);
  const compiled = here.endsWith('.ts') ? path.join(path.dirname(here), '../dist/engines') : path.dirname(here);
  return path.join(compiled, 'keeper-main.js');
}

/**
 * Starts a keeper in a session of its own: neither Ctrl-C in the terminal nor a kill of our process group
 * reaches it, and the end of its stdin tells it that we are gone.
 * @param options.logPath where its own errors go; null discards them
 */
export function spawnKeeper(options: { readonly registryDir: string; readonly logPath: string | null }): KeeperClient {
  const logPath = options.logPath ?? '/dev/null';
  makeFolder(path.dirname(logPath));
  const errors = openSync(logPath, 'a');
  try {
    const child = spawn(process.execPath, [keeperMainPath(), options.registryDir], {
      stdio: ['pipe', 'pipe', errors],
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !jobMarks.has(name))),
      detached: true,
    });
    if (!child.stdout || !child.stdin) throw new Error('The keeper was started without pipes');
    const failed = new Promise<void>((resolve) => child.once('error', () => resolve()));
    const client = openClient(child.stdout, child.stdin, failed);
    return {
      ...client,
      get isClosed() {
        return client.isClosed;
      },
      close: async () => {
        child.unref();
        await client.close();
      },
    };
  } finally {
    closeSync(errors);
  }
}

/**
 * Joins the keeper of another process's run.
 * @throws when nobody listens there.
 */
export function connectKeeper(socketPath: string): Promise<KeeperClient> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(openClient(socket, socket, new Promise(() => {})));
    });
  });
}

function openClient(input: Readable, output: Writable, failed: Promise<void>): KeeperClient {
  const waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  const listeners: ((event: KeeperEvent) => void)[] = [];
  let nextId = 1;
  let isClosed = false;

  const closed = Promise.race([failed, new Promise<void>((resolve) => input.once('close', () => resolve()))]).then(
    () => {
      isClosed = true;
      clearInterval(watching);
      for (const { reject } of waiting.values()) reject(keeperGone());
      waiting.clear();
    },
  );
  // A broken pipe is told by `closed`.
  input.on('error', () => {});
  output.on('error', () => {});
  let pingsWithoutWord = 0;
  const watching = setInterval(() => {
    if (waiting.size === 0) return;
    if (pingsWithoutWord >= silentPings) input.destroy();
    pingsWithoutWord += 1;
    output.write(`${JSON.stringify({ op: 'ping', id: nextId++ })}\n`);
  }, pingEveryMs).unref();
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  // readline passes its input's errors on as its own.
  lines.on('error', () => {});
  lines.on('line', (line) => {
    pingsWithoutWord = 0;
    const answer = keeperAnswerSchema.parse(JSON.parse(line));
    if ('event' in answer) {
      for (const listener of listeners) listener(answer);
      return;
    }
    const waiter = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.ok) waiter?.resolve(answer);
    else waiter?.reject(new EngineStartError(answer.error.message, answer.error));
  });

  return {
    closed,
    get isClosed() {
      return isClosed;
    },
    request: (body) =>
      new Promise((resolve, reject) => {
        if (isClosed || !output.writable) {
          reject(keeperGone());
          return;
        }
        const id = nextId++;
        if (waiting.size === 0) pingsWithoutWord = 0;
        waiting.set(id, { resolve, reject });
        output.write(`${JSON.stringify({ ...body, id })}\n`);
      }),
    onEvent: (listener) => listeners.push(listener),
    close: async () => {
      // One that was destroyed with its process would never call back.
      if (output.writable) await new Promise<void>((resolve) => output.end(() => resolve()));
      lines.close();
      input.destroy();
      await closed;
    },
  };
}

function keeperGone(): Error {
  return new EngineStartError(
    'The keeper of the run is gone: it was killed, it hangs, or the run has been cleaned up elsewhere.',
    {
      failureCause: 'orchestrator-lost',
    },
  );
}
