import type { IncomingMessage, ServerResponse } from 'node:http';

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  307: 'Temporary Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Writes one answer's head as uvicorn does and reports it for the access log. */
export class Reply {
  readonly response: ServerResponse;
  /** Simulated time at which the request came in. */
  readonly arrival: number;
  readonly #request: IncomingMessage;
  #headers: Readonly<Record<string, string>>;
  readonly #log: (line: string) => void;

  /** @param headers added to every answer. @param log takes the access line. */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    arrival: number,
    headers: Readonly<Record<string, string>>,
    log: (line: string) => void,
  ) {
    this.#request = request;
    this.response = response;
    this.arrival = arrival;
    this.#headers = headers;
    this.#log = log;
    // uvicorn sends neither Connection nor Keep-Alive.
    response.removeHeader('connection');
  }

  /** More headers for the answer. */
  addHeaders(headers: Readonly<Record<string, string>>): void {
    this.#headers = { ...this.#headers, ...headers };
  }

  /** A whole answer. @param contentType null: none is sent, as for /health. */
  send(
    status: number,
    body: string,
    contentType: string | null = 'application/json',
    extra: Record<string, string> = {},
  ): void {
    if (this.response.headersSent || this.response.destroyed) return;
    const type = contentType === null ? {} : { 'content-type': contentType };
    this.#head(status, { 'content-length': String(Buffer.byteLength(body)), ...type, ...extra });
    this.response.end(body);
  }

  json(value: unknown, status = 200): void {
    this.send(status, JSON.stringify(value));
  }

  /** Opens a stream of server-sent events; the head leaves at once, before the first token. */
  openStream(): void {
    this.#head(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    this.response.flushHeaders();
  }

  /** Opens a whole answer whose body is written by someone else. @param length its bytes; null: not told. */
  openBody(length: number | null): void {
    const told = length === null ? {} : { 'content-length': String(length) };
    this.#head(200, { ...told, 'content-type': 'application/json' });
    this.response.flushHeaders();
  }

  #head(status: number, headers: Readonly<Record<string, string>>): void {
    this.response.writeHead(status, { server: 'uvicorn', ...headers, ...this.#headers });
    const { socket, method, url, httpVersion } = this.#request;
    const reason = REASONS[status] ?? '';
    this.#log(
      `${socket.remoteAddress?.replace('::ffff:', '')}:${socket.remotePort} - "${method} ${url} HTTP/${httpVersion}" ${status} ${reason}`,
    );
  }
}
