import type { IncomingMessage } from 'node:http';
import { pathParameters } from '../route-pattern.js';
import type { Reply } from './reply.js';

export type Handler = (request: IncomingMessage, reply: Reply) => Promise<void> | void;
export type Methods = Readonly<Record<string, Handler>>;
export type Routes = ReadonlyMap<string, Methods>;

const METHODS = ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'];

/** The methods of a path, and how vLLM's metrics name it. */
export function findRoute(
  routes: Routes,
  path: string,
): { readonly pattern: string; readonly handlers: Methods | undefined } {
  const exact = routes.get(path);
  if (exact !== undefined) return { pattern: path, handlers: exact };
  for (const [pattern, handlers] of routes) {
    if (pathParameters(pattern, path) !== null) return { pattern, handlers };
  }
  return { pattern: 'none', handlers: undefined };
}

/** Decoded, without its query. */
export function pathOf({ url = '/' }: IncomingMessage): string {
  const path = url.split('?', 1)[0] ?? '/';
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** A path that is known but for the slash at its end is told where it is, whatever the method. */
export function redirectOf(routes: Routes, path: string, { url = '/', headers }: IncomingMessage): Methods | undefined {
  if (path === '/') return undefined;
  const other = path.endsWith('/') ? path.replace(/\/+$/, '') : `${path}/`;
  if (findRoute(routes, other).handlers === undefined) return undefined;
  const query = url.includes('?') ? url.slice(url.indexOf('?')) : '';
  const location = `http://${headers.host ?? 'localhost'}${encodeURI(other)}${query}`;
  return everyMethod((_, reply) => reply.send(307, '', null, { location }));
}

export function everyMethod(handler: Handler): Methods {
  return Object.fromEntries(METHODS.map((method) => [method, handler]));
}
