import { validateHeaderName, validateHeaderValue } from 'node:http';
import { jsonParts } from './json-text.js';
import type { Target } from './target.js';

/** Where the sockets go; parsed once from a target's base URL. */
export interface Endpoint {
  readonly secure: boolean;
  readonly hostname: string;
  readonly port: number;
  /** Value of the Host header. */
  readonly authority: string;
  /** Path prefix without a trailing slash. */
  readonly prefix: string;
}

/** @throws TypeError when the URL is not an http or https one. */
export function parseEndpoint(baseUrl: string): Endpoint {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new TypeError(`A server's base URL looks like http://127.0.0.1:8000, not "${baseUrl}".`);
  }
  const secure = url.protocol === 'https:';
  return {
    secure,
    hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    authority: url.host,
    prefix: url.pathname.replace(/\/+$/, ''),
  };
}

/** Up to here one write is worth a copy. */
const MAX_COPIED_BYTES = 64 * 1024;

/**
 * The whole request as bytes, so that nothing is left to serialise once the clock runs; in pieces, a large
 * JsonText in the body not copied.
 * @param headers win over ours
 * @throws TypeError for a header that HTTP does not allow
 */
export function serialiseRequest(
  endpoint: Endpoint,
  target: Target,
  path: string,
  body: unknown,
  requestId: string | null,
  headers: Readonly<Record<string, string>> = {},
): readonly Buffer[] {
  const json = jsonParts(body);
  const length = json.reduce((total, part) => total + part.length, 0);
  const fields: Record<string, string> = {
    host: endpoint.authority,
    'content-type': 'application/json',
    accept: 'text/event-stream, application/json',
    'user-agent': 'lmcache-ci',
    ...(target.apiKey === undefined ? {} : { authorization: `Bearer ${target.apiKey}` }),
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    ...(requestId === null ? {} : { 'x-request-id': requestId }),
    'content-length': String(length),
  };
  for (const [name, value] of Object.entries(fields)) {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  }
  const head = [
    `POST ${endpoint.prefix}${path} HTTP/1.1`,
    ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`),
  ];
  const parts = [Buffer.from(`${head.join('\r\n')}\r\n\r\n`), ...json];
  return length > MAX_COPIED_BYTES ? parts : [Buffer.concat(parts)];
}
