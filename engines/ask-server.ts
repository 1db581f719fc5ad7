import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { text } from 'node:stream/consumers';

/** What a server said; headers as node reads them, names in lower case. */
export interface ServerAnswer {
  readonly status: number;
  header(name: string): string | null;
  readonly body: string;
}

/**
 * One request on a connection of its own; redirects are not followed. Not `fetch`: it refuses the ports that browsers
 * do (6000, 6566, 6665 to 6669, 10080, ...), and an engine may listen on any.
 * @throws the system's error, or AbortError
 */
export function askServer(
  url: string,
  options: { readonly signal: AbortSignal; readonly method?: 'GET' | 'POST'; readonly body?: string },
): Promise<ServerAnswer> {
  const { signal, method = 'GET', body } = options;
  const send = new URL(url).protocol === 'https:' ? tlsRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, { method, signal, agent: false }, (response) => {
      const header = (name: string) => response.headers[name]?.toString() ?? null;
      text(response).then((read) => resolve({ status: response.statusCode ?? 0, header, body: read }), reject);
    });
    request.once('error', reject);
    request.end(body);
  });
}
