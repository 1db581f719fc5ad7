import { z } from 'zod';
import { pathParameters } from '../route-pattern.js';

/** An answer of the HTTP API: JSON with the status 200 unless said otherwise, or text. */
export type Answer =
  | { readonly status?: number; readonly json: unknown }
  | { readonly status?: number; readonly text: string; readonly type: string };

export interface ApiRequest {
  /** Values of the `{names}` in the route's path. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: string;
}

export type Handler = (request: ApiRequest) => Answer | Promise<Answer>;
/** By path, `{name}` standing for any one part, and method. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Handler>>>>;

/** A request that is refused; FastAPI's HTTPException, or its list of what is wrong (422). */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';
  readonly status: number;
  readonly detail: unknown;

  constructor(status: number, detail: unknown) {
    super(typeof detail === 'string' ? detail : `${status}`);
    this.status = status;
    this.detail = detail;
  }
}

export function plainText(text: string, status = 200): Answer {
  return { status, text, type: 'text/plain; charset=utf-8' };
}

/** The route's methods and what its path says, or null: 404. A path without `{}` wins. */
export function findRoute(
  routes: Routes,
  path: string,
): { readonly methods: Readonly<Record<string, Handler>>; readonly params: Readonly<Record<string, string>> } | null {
  const exact = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (exact !== undefined) return { methods: exact, params: {} };
  for (const [pattern, methods] of Object.entries(routes)) {
    const params = pathParameters(pattern, path);
    if (params !== null) return { methods, params };
  }
  return null;
}

/** A body that must be JSON of this shape. @throws HttpProblem 422 as FastAPI words it. */
export function readBodyAs<T>(schema: z.ZodType<T>, body: string): T {
  if (body.trim() === '') throw unprocessable([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    const position = Number(/position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1] ?? 0);
    const ctx = { error: 'Expecting value' };
    throw unprocessable([{ type: 'json_invalid', loc: ['body', position], msg: 'JSON decode error', input: {}, ctx }]);
  }
  return checked(schema, value, 'body');
}

/** The query's fields. @throws HttpProblem 422 */
export function readQueryAs<T>(schema: z.ZodType<T>, query: URLSearchParams): T {
  return checked(schema, Object.fromEntries(query), 'query');
}

function checked<T>(schema: z.ZodType<T>, value: unknown, place: 'body' | 'query'): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw unprocessable(parsed.error.issues.map((issue) => problemOf(issue, value, place)));
}

function unprocessable(problems: readonly unknown[]): HttpProblem {
  return new HttpProblem(422, problems);
}

function problemOf(issue: z.core.$ZodIssue, value: unknown, place: string): unknown {
  const input = issue.path.reduce<unknown>(childOf, value);
  const loc = [place, ...issue.path];
  if (input === undefined) {
    const parent = issue.path.slice(0, -1).reduce<unknown>(childOf, value);
    return { type: 'missing', loc, msg: 'Field required', input: place === 'query' ? null : parent };
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map((one) => `'${String(one)}'`);
    const expected = [values.slice(0, -1).join(', '), values.at(-1)].join(' or ');
    return { type: 'enum', loc, msg: `Input should be ${expected}`, input, ctx: { expected } };
  }
  if (issue.code === 'invalid_type') return { type: `${issue.expected}_type`, loc, msg: issue.message, input };
  return { type: 'value_error', loc, msg: issue.message, input };
}

function childOf(value: unknown, key: PropertyKey): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

export const tierField = z.enum(['l1', 'l2', 'all']);
