import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { assetPath } from '../package-root.js';
import type { OwnedProcessResult, StepContext, Venv } from '../step.js';
import { StepFailure } from '../step-failure.js';

const messageSchema = z.union([z.object({ ready: z.literal(true) }), z.object({ exit_code: z.int() })]);

/** lm_eval, imported once, running its command line as often as asked (driver.py). */
export interface LmEvalDriver {
  /** Resolves when Python has imported everything. @throws StepFailure when it cannot. */
  ready(): Promise<void>;
  /**
   * Runs `lm_eval <argv>`.
   * @param logPath its output, both streams, is appended there
   * @returns its exit code
   * @throws StepFailure when the Python process ended meanwhile; the signal's reason when aborted
   */
  run(argv: readonly string[], logPath: string): Promise<number>;
  /** Ends the Python process; harmless when it has ended. */
  close(): Promise<void>;
}

export interface DriverOptions {
  readonly venv: Venv;
  readonly execute: StepContext<unknown>['execute'];
  readonly signal: AbortSignal;
  /** Read by its libraries while they are imported: HF_HUB_OFFLINE and the like. */
  readonly environment: Readonly<Record<string, string>>;
  /** False: prepared data sets are kept in a cache that ends with the process. */
  readonly keepDatasets: boolean;
  readonly workingDirectory: string;
  /** Empty, for its socket and caches; removed when it has ended. */
  readonly directory: string;
  /** For what Python itself prints. */
  readonly logPath: string;
}

/** Starts the Python process; it works while the caller does something else. */
export async function startDriver(options: DriverOptions): Promise<LmEvalDriver> {
  const { directory } = options;
  const socketPath = path.join(directory, 'driver.sock');
  const { server, connection } = await listen(socketPath);
  const exited = options
    .execute([options.venv.python, assetPath('steps', 'lm-eval', 'driver.py'), socketPath], {
      environment: {
        ...options.environment,
        ...(options.keepDatasets ? {} : { HF_DATASETS_CACHE: path.join(directory, 'datasets') }),
      },
      workingDirectory: options.workingDirectory,
      logPath: options.logPath,
      // It connects when it has imported everything.
      idle: connection,
    })
    .then(
      (result): Ending => ({ result }),
      (error: unknown): Ending => ({ error }),
    )
    .then(async (ending) => {
      server.close();
      await rm(directory, { recursive: true, force: true });
      return ending;
    });
  const replies = new Replies(connection, exited, options.signal, options.logPath);
  const ready = replies.next().then(() => undefined);
  // Reported where it is awaited: nobody may wait yet.
  ready.catch(() => undefined);
  return {
    ready: () => ready,
    run: async (argv, logPath) => {
      await ready;
      const socket = await connection;
      socket.write(`${JSON.stringify({ argv, log: logPath })}\n`);
      const reply = await replies.next();
      if (!('exit_code' in reply)) {
        throw new Error('The lm_eval driver announced itself twice.');
      }
      return reply.exit_code;
    },
    close: async () => {
      replies.hangUp();
      await exited;
    },
  };
}

type Ending = { readonly result: OwnedProcessResult } | { readonly error: unknown };
type Message = z.infer<typeof messageSchema>;

/** The one connection of the driver. Nothing here keeps this process alive: the child does, as long as it runs. */
async function listen(socketPath: string): Promise<{ server: Server; connection: Promise<Socket> }> {
  const server = createServer();
  server.unref();
  const connection = new Promise<Socket>((resolve) => {
    server.once('connection', (socket) => {
      socket.unref();
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  return { server, connection };
}

/** Answers in order; the end of the process or the signal ends every wait. */
class Replies {
  readonly #ended: Promise<never>;
  readonly #waiting: ((message: Message) => void)[] = [];
  readonly #arrived: Message[] = [];
  #socket: Socket | null = null;
  #hungUp = false;

  constructor(connection: Promise<Socket>, exited: Promise<Ending>, signal: AbortSignal, logPath: string) {
    this.#ended = exited.then((ending) => {
      throw signal.aborted ? signal.reason : describeEnding(ending, logPath);
    });
    this.#ended.catch(() => undefined);
    void connection.then((socket) => {
      this.#socket = socket;
      if (this.#hungUp) {
        socket.destroy();
        return;
      }
      createInterface({ input: socket }).on('line', (line) => this.#receive(messageSchema.parse(JSON.parse(line))));
    });
  }

  next(): Promise<Message> {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) {
      return Promise.resolve(arrived);
    }
    return Promise.race([new Promise<Message>((resolve) => this.#waiting.push(resolve)), this.#ended]);
  }

  hangUp(): void {
    this.#hungUp = true;
    this.#socket?.destroy();
  }

  #receive(message: Message): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) {
      this.#arrived.push(message);
    } else {
      waiting(message);
    }
  }
}

function describeEnding(ending: Ending, logPath: string): unknown {
  if ('error' in ending) {
    return ending.error;
  }
  const { exitCode, signal, stderr, stdout } = ending.result;
  const how = exitCode === null ? `signal ${signal ?? 'unknown'}` : `exit code ${exitCode}`;
  return new StepFailure(`Python with lm_eval ended with ${how}; see "${logPath}".`, {
    reason: 'infrastructure',
    failureCause: 'tool-missing',
    evidence: `${stdout}\n${stderr}`
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-20),
  });
}
