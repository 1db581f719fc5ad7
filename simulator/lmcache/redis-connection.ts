import { connect, type Socket } from 'node:net';

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One connection in Redis' protocol (RESP 2): commands go out together, answers come in their order. */
export class RedisConnection {
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #pending: Pending[] = [];
  #buffer: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    socket.on('data', (data: Buffer) => this.#receive(data));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  /** @throws when nothing listens there within the time. */
  static open(host: string, port: number, timeoutMs: number): Promise<RedisConnection> {
    const socket = connect({ host, port, noDelay: true });
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => fail(new Error(`${host}:${port} does not answer`)), timeoutMs);
      socket.once('error', fail);
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.off('error', fail);
        socket.unref();
        resolve(new RedisConnection(socket, timeoutMs));
      });
    });
  }

  /** Answers in the order of the commands: numbers, strings, arrays, null. @throws on an error answer or a silence. */
  async send(commands: readonly (readonly string[])[]): Promise<readonly unknown[]> {
    const answers = commands.map(
      () => new Promise<unknown>((resolve, reject) => this.#pending.push({ resolve, reject })),
    );
    this.#socket.write(commands.map(encode).join(''));
    const timer = setTimeout(() => this.#fail(new Error('no answer in time')), this.#timeoutMs);
    try {
      return await Promise.all(answers);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(data: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? data : Buffer.concat([this.#buffer, data]);
    let at = 0;
    for (;;) {
      const parsed = parseAnswer(this.#buffer, at);
      if (parsed === null) break;
      at = parsed.end;
      const pending = this.#pending.shift();
      if (parsed.value instanceof Error) pending?.reject(parsed.value);
      else pending?.resolve(parsed.value);
    }
    this.#buffer = this.#buffer.subarray(at);
  }

  #fail(error: Error): void {
    this.#socket.destroy();
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }
}

function encode(command: readonly string[]): string {
  const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
  return `*${command.length}\r\n${parts.join('')}`;
}

interface Parsed {
  /** An error answer is an Error. */
  readonly value: unknown;
  readonly end: number;
}

/** The answer that begins at `start`; null while it is not complete. */
function parseAnswer(buffer: Buffer, start: number): Parsed | null {
  const lineEnd = buffer.indexOf('\r\n', start);
  if (lineEnd < 0) return null;
  const line = buffer.toString('utf8', start + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(buffer[start] ?? 0)) {
    case '+':
      return { value: line, end: next };
    case '-':
      return { value: new Error(line), end: next };
    case ':':
      return { value: Number(line), end: next };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, end: next };
      if (buffer.length < next + length + 2) return null;
      return { value: buffer.toString('utf8', next, next + length), end: next + length + 2 };
    }
    case '*': {
      const values: unknown[] = [];
      let at = next;
      for (let index = 0; index < Number(line); index += 1) {
        const item = parseAnswer(buffer, at);
        if (item === null) return null;
        values.push(item.value);
        at = item.end;
      }
      return { value: Number(line) < 0 ? null : values, end: at };
    }
    default:
      return { value: new Error(`not an answer of Redis: "${line.slice(0, 80)}"`), end: next };
  }
}
