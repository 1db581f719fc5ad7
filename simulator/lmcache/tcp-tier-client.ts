import { connect, type Socket } from 'node:net';
import type { BlockAge } from '../contracts.js';
import type { TierClient, TierLoad } from './tier-client.js';
import { lineSplitter, type TierMessage, type TierReply, tierReplySchema } from './tier-protocol.js';

const DEFAULT_CHUNK_TOKENS = 256;
/** After a failed attempt the next one waits this long (wall), so that a dead server costs next to nothing. */
const RETRY_MS = 250;

export interface TcpTierOptions {
  readonly host: string;
  readonly port: number;
  /** Wall milliseconds a request may take before it counts as a miss. */
  readonly timeoutMs: number;
  readonly registration: {
    readonly instance: string;
    readonly model: string;
    readonly kvBytesPerToken: number;
    readonly kvPoolTokens: number;
    readonly layers: number;
  };
  /** Tokens of a chunk where the engine decides; the server does if left out. */
  readonly chunkTokens?: number;
  /** One line for each time the server is lost or found. */
  readonly log: (line: string) => void;
  /** Told each time it has registered with a server. */
  readonly onRegistered?: () => void;
  /** Told once for each time the server is lost, at the first lookup that it leaves unanswered. */
  readonly onUnanswered?: () => void;
}

type Request = Extract<TierMessage, { id: number }>;
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Pending {
  readonly resolve: (reply: TierReply | null) => void;
  readonly timer: NodeJS.Timeout;
}

interface Connection {
  readonly socket: Socket;
  readonly pending: Map<number, Pending>;
}

/**
 * Talks to the simulated cache server. No call rejects: without a server, or when it is slower than `timeoutMs`,
 * the answer is a miss; the connection is then made, and registered, anew at a later call.
 */
export class TcpTierClient implements TierClient {
  readonly #options: TcpTierOptions;
  #connection: Connection | null = null;
  #connecting: Promise<Connection | null> | null = null;
  #nextAttemptAt = 0;
  #nextId = 0;
  #chunkTokens: number;
  #blockSampleRate = 0;
  #closed = false;
  #knownDown = false;
  /** It served, and no lookup has met its absence yet. */
  #absenceIsNews = false;

  constructor(options: TcpTierOptions) {
    this.#options = options;
    this.#chunkTokens = options.chunkTokens ?? DEFAULT_CHUNK_TOKENS;
  }

  get chunkTokens(): number {
    return this.#chunkTokens;
  }

  /** Part of the GPU blocks whose ages the server wants to know. */
  get blockSampleRate(): number {
    return this.#connection === null ? 0 : this.#blockSampleRate;
  }

  /** Connects and registers ahead of the first lookup; false when there is no server yet. */
  async connect(): Promise<boolean> {
    return (await this.#connected()) !== null;
  }

  async lookup(hashes: readonly string[]): Promise<number> {
    const reply = await this.#request({ op: 'lookup', hashes: [...hashes] });
    if (reply === null && this.#absenceIsNews) {
      this.#absenceIsNews = false;
      this.#options.onUnanswered?.();
    }
    return Math.min(reply?.chunks ?? 0, hashes.length);
  }

  async load(hashes: readonly string[], fromChunk: number, toChunk: number): Promise<TierLoad> {
    const reply = await this.#request({ op: 'load', hashes: [...hashes], fromChunk, toChunk });
    return { chunks: reply?.chunks ?? 0, l2Seconds: reply?.l2Seconds ?? 0, isLost: reply === null };
  }

  loaded(chunks: number, seconds: number): void {
    this.#notify({ op: 'loaded', chunks, seconds });
  }

  store(hashes: readonly string[], fromChunk: number, seconds: number): void {
    this.#notify({ op: 'store', hashes: [...hashes], fromChunk, seconds });
  }

  reportBlocks(ages: readonly BlockAge[]): void {
    this.#notify({ op: 'blocks', ages: ages.map((age) => ({ ...age, reuseGaps: [...age.reuseGaps] })) });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection ?? (await this.#connecting);
    if (connection === null) return;
    this.#drop(connection);
  }

  #notify(message: Exclude<TierMessage, { id: number }>): void {
    if (this.#connection !== null) send(this.#connection.socket, message);
    else void this.#connected();
  }

  async #request(message: WithoutId<Request>): Promise<TierReply | null> {
    const connection = await this.#connected();
    return connection === null ? null : this.#ask(connection, message);
  }

  #ask(connection: Connection, message: WithoutId<Request>): Promise<TierReply | null> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#options.log(
          `LMCache server ${this.#address} did not answer within ${this.#options.timeoutMs} ms: counted as a miss`,
        );
        this.#drop(connection);
      }, this.#options.timeoutMs);
      connection.pending.set(id, { resolve, timer });
      send(connection.socket, { ...message, id });
    });
  }

  async #connected(): Promise<Connection | null> {
    if (this.#connection !== null) return this.#connection;
    if (this.#closed || Date.now() < this.#nextAttemptAt) return null;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #open(): Promise<Connection | null> {
    const { host, port, timeoutMs, registration, chunkTokens, log, onRegistered } = this.#options;
    const socket = connect({ host, port, noDelay: true });
    const connection: Connection = { socket, pending: new Map() };
    const isOpen = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      const settle = (open: boolean) => {
        clearTimeout(timer);
        resolve(open);
      };
      socket.once('connect', () => settle(true));
      socket.once('close', () => settle(false));
      socket.on('error', () => settle(false));
    });
    if (!isOpen) {
      socket.destroy();
      return this.#unreachable();
    }
    socket.setEncoding('utf8');
    const feed = lineSplitter((line) => this.#receive(connection, line));
    socket.on('data', (data: string) => {
      try {
        feed(data);
      } catch (error) {
        log(`LMCache server ${this.#address}: ${error instanceof Error ? error.message : String(error)}`);
        this.#drop(connection);
      }
    });
    socket.on('close', () => this.#drop(connection));
    const reply = await this.#ask(connection, {
      op: 'register',
      ...registration,
      ...(chunkTokens === undefined ? {} : { chunkTokens }),
    });
    if (reply === null || this.#closed) {
      this.#drop(connection);
      return this.#unreachable();
    }
    this.#chunkTokens = chunkTokens ?? reply.chunkTokens ?? DEFAULT_CHUNK_TOKENS;
    this.#blockSampleRate = reply.blockSampleRate ?? 0;
    this.#connection = connection;
    this.#knownDown = false;
    this.#absenceIsNews = true;
    onRegistered?.();
    log(`registered with the LMCache server ${this.#address} (chunks of ${this.#chunkTokens} tokens)`);
    return connection;
  }

  #unreachable(): null {
    this.#nextAttemptAt = Date.now() + RETRY_MS;
    if (!this.#knownDown && !this.#closed) {
      this.#options.log(`LMCache server ${this.#address} is not reachable: every lookup is a miss until it is back`);
    }
    this.#knownDown = true;
    return null;
  }

  #receive(connection: Connection, line: string): void {
    const reply = tierReplySchema.parse(JSON.parse(line));
    const pending = connection.pending.get(reply.id);
    if (pending === undefined) return;
    connection.pending.delete(reply.id);
    clearTimeout(pending.timer);
    pending.resolve(reply);
  }

  #drop(connection: Connection): void {
    if (this.#connection === connection) {
      this.#connection = null;
      if (!this.#closed) this.#unreachable();
    }
    connection.socket.destroy();
    for (const { resolve, timer } of connection.pending.values()) {
      clearTimeout(timer);
      resolve(null);
    }
    connection.pending.clear();
  }

  get #address(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }
}

function send(socket: Socket, message: TierMessage): void {
  socket.write(`${JSON.stringify(message)}\n`);
}
