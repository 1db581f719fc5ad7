import type { Agent, IncomingMessage } from 'node:http';
import type { Target } from './target.js';

/** No answer at all: refused, reset, timed out. */
export class ServerUnreachableError extends Error {
  override readonly name = 'ServerUnreachableError';
}

/** An answer that is not the one asked for. */
export class ServerAnswerError extends Error {
  override readonly name = 'ServerAnswerError';
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

export interface ServerAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly body?: unknown;
  readonly timeoutMs?: number;
  /** Connections for many calls, from `openAgent`; without one each call has its own. */
  readonly agent?: Agent;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** An address where nobody is: packets get lost, nothing says so. */
const CONNECT_TIMEOUT_MS = 5000;

/** Kept-alive connections to one server; `destroy` them when done. @param connections at most */
export async function openAgent(target: Target, connections: number): Promise<Agent> {
  const { Agent } = await modulesFor(target.baseUrl);
  return new Agent({ keepAlive: true, maxSockets: connections });
}

/**
 * One request and its whole answer, whatever its status. Node's own client: another one would take 20 MiB and 0.1 s
 * from the program that measures.
 * @throws ServerUnreachableError; the signal's reason when aborted
 */
export async function ask(
  target: Target,
  method: 'GET' | 'POST',
  path: string,
  options: AskOptions,
): Promise<ServerAnswer> {
  const url = `${target.baseUrl.replace(/\/+$/, '')}${path}`;
  const timeout = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const body = options.body === undefined ? null : Buffer.from(JSON.stringify(options.body));
  try {
    options.signal.throwIfAborted();
    const { request } = await modulesFor(url);
    const signal = AbortSignal.any([options.signal, timeout]);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = {
        ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
        ...(target.apiKey === undefined ? {} : { authorization: `Bearer ${target.apiKey}` }),
      };
      const sent = request(url, { method, headers, signal, agent: options.agent ?? false }, resolve);
      sent.on('error', reject);
      sent.on('socket', (socket) => {
        if (!socket.connecting) return;
        const giveUp = () => sent.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`));
        const timer = setTimeout(giveUp, CONNECT_TIMEOUT_MS);
        for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(timer));
      });
      sent.end(body ?? undefined);
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) {
      chunks.push(Buffer.from(chunk));
    }
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: Buffer.concat(chunks).toString('utf8'),
    };
  } catch (error) {
    options.signal.throwIfAborted();
    const cause: unknown = timeout.aborted ? timeout.reason : error;
    const reason = cause instanceof Error && cause.message !== '' ? cause.message : String(cause);
    throw new ServerUnreachableError(`${method} ${url} got no answer: ${reason}.`, { cause });
  }
}

function modulesFor(url: string): Promise<Pick<typeof import('node:http'), 'Agent' | 'request'>> {
  return url.startsWith('https:') ? import('node:https') : import('node:http');
}
