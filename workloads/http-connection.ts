import { connect as connectPlain, type Socket } from 'node:net';
import type { Endpoint } from './endpoint.js';
import { HttpFormatError, HttpResponseParser, type ResponseHead } from './http-response-parser.js';

/** What one exchange hears of its connection. All times are performance.now() of the socket's callback. */
export interface ExchangeSink {
  /** The kernel has the whole request. */
  onSent(time: number): void;
  onHead(head: ResponseHead, time: number): void;
  onBody(bytes: Uint8Array, start: number, end: number, time: number): void;
  /** The answer is complete; the connection is idle again or closed. */
  onComplete(time: number): void;
  /** The connection is lost or useless before the answer was complete. */
  onFailure(kind: 'connection' | 'format', message: string, time: number): void;
}

/** Ends what is still connecting. */
export type GiveUp = (reason: unknown) => void;

const READ_BUFFER_BYTES = 64 * 1024;

/** All plain sockets read into this one: a read is handled completely before the next one starts. */
const sharedReadBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** A kept-alive HTTP/1.1 connection for one request at a time. */
export class HttpConnection {
  readonly #socket: Socket;
  readonly #parser: HttpResponseParser;
  #exchange: ExchangeSink | null = null;
  #completedAt = -1;
  #reusable = true;
  #open = true;
  #lastError: string | null = null;
  /** performance.now() of when it became idle. */
  idleSince = performance.now();
  /** Called once when it is closed, by whomever. */
  onClose: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#parser = new HttpResponseParser({
      onHead: (head, time) => this.#exchange?.onHead(head, time),
      onBody: (bytes, start, end, time) => this.#exchange?.onBody(bytes, start, end, time),
      onComplete: (time, reusable) => {
        this.#completedAt = time;
        this.#reusable &&= reusable;
      },
    });
    socket.setNoDelay(true);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#lastError ??= error.message === '' ? (error.code ?? error.name) : error.message;
    });
    socket.on('end', () => this.#onEnd());
    socket.on('close', () => this.#onClosed());
  }

  /**
   * Resolves when connected (TLS included).
   * @param pending has a function while it connects, with which that can be ended
   * @throws Error naming the address when it cannot be reached in time; the reason with which it was ended
   */
  static async open(endpoint: Endpoint, timeoutMs: number, pending: Set<GiveUp>): Promise<HttpConnection> {
    let connection: HttpConnection | null = null;
    const address = { host: endpoint.hostname, port: endpoint.port };
    // Loaded where it is needed only.
    const secure = endpoint.secure ? await import('node:tls') : null;
    const socket = secure
      ? secure.connect({ ...address, servername: endpoint.hostname, ALPNProtocols: ['http/1.1'] })
      : connectPlain({
          ...address,
          onread: {
            buffer: sharedReadBuffer,
            callback: (count, buffer) => {
              connection?.receive(buffer, count);
              return true;
            },
          },
        });
    if (endpoint.secure) {
      socket.on('data', (bytes: Buffer) => connection?.receive(bytes, bytes.length));
    }
    // Between two listeners of ours an error must not be nobody's: the process would end.
    socket.on('error', () => undefined);
    await connected(socket, endpoint, timeoutMs, pending);
    connection = new HttpConnection(socket);
    return connection;
  }

  get isOpen(): boolean {
    return this.#open && this.#reusable && !this.#socket.destroyed;
  }

  /** Writes a whole request, its pieces with one call of the kernel. The caller reads the clock just before. */
  send(parts: readonly Buffer[], exchange: ExchangeSink): void {
    this.#exchange = exchange;
    let told = false;
    const tell = (): void => {
      if (!told && this.#exchange === exchange) {
        told = true;
        exchange.onSent(performance.now());
      }
    };
    const onWritten = (error: Error | null | undefined): void => {
      if (error === undefined || error === null) {
        tell();
      }
    };
    this.#socket.cork();
    for (const [index, part] of parts.entries()) {
      this.#socket.write(part, index === parts.length - 1 ? onWritten : undefined);
    }
    this.#socket.uncork();
    // The kernel mostly takes it at once; the callback would only come after everything else due now.
    if (this.#socket.writableLength === 0) {
      tell();
    }
  }

  /** Ends the connection at once; an exchange in progress hears nothing more. */
  destroy(): void {
    this.#exchange = null;
    this.#reusable = false;
    this.#socket.destroy();
  }

  /** Bytes from the socket: the clock is read before anything else. */
  private receive(bytes: Uint8Array, count: number): void {
    const time = performance.now();
    const exchange = this.#exchange;
    if (exchange === null) {
      // Nothing was asked: whatever this is, no later answer on this connection can be trusted.
      this.destroy();
      return;
    }
    try {
      this.#parser.push(bytes, 0, count, time);
    } catch (error) {
      this.#reusable = false;
      this.#socket.destroy();
      if (this.#completedAt < 0) {
        this.#exchange = null;
        exchange.onFailure('format', error instanceof Error ? error.message : String(error), time);
        if (!(error instanceof HttpFormatError)) {
          throw error;
        }
        return;
      }
    }
    if (this.#completedAt >= 0) {
      this.#finishExchange(exchange);
    }
  }

  #finishExchange(exchange: ExchangeSink): void {
    const time = this.#completedAt;
    this.#completedAt = -1;
    this.#exchange = null;
    this.idleSince = time;
    this.#parser.reset();
    if (!this.#reusable) {
      this.#socket.destroy();
    }
    exchange.onComplete(time);
  }

  #onEnd(): void {
    const exchange = this.#exchange;
    this.#reusable = false;
    if (exchange !== null && this.#parser.finish(performance.now())) {
      this.#finishExchange(exchange);
    }
  }

  #onClosed(): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.#open = false;
    this.onClose?.();
    exchange?.onFailure(
      'connection',
      this.#lastError ?? 'The server closed the connection before its answer was complete.',
      performance.now(),
    );
  }
}

function connected(socket: Socket, endpoint: Endpoint, timeoutMs: number, pending: Set<GiveUp>): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error: unknown): void => {
      clearTimeout(timer);
      pending.delete(settle);
      socket.off('error', settle);
      if (error === undefined) {
        resolve();
      } else {
        socket.destroy();
        reject(error);
      }
    };
    const timer = setTimeout(
      () => settle(new Error(`No connection to ${endpoint.authority} within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    pending.add(settle);
    socket.once(endpoint.secure ? 'secureConnect' : 'connect', () => settle(undefined));
    socket.on('error', settle);
  });
}
