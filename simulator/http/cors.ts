import type { IncomingHttpHeaders } from 'node:http';

export interface CorsSettings {
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly credentials: boolean;
}

export interface PreflightAnswer {
  readonly status: 200 | 400;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

const EVERYTHING = '*';
const ALL_METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];
/** What a page may always send. */
const SAFE_HEADERS = ['Accept', 'Accept-Language', 'Content-Language', 'Content-Type'];
/** Seconds for which a browser may keep the answer. */
const MAX_AGE = '600';

/** What a page of another origin may do here, as Starlette's CORSMiddleware tells browsers. */
export class Cors {
  readonly #settings: CorsSettings;
  readonly #methods: readonly string[];
  readonly #isOpen: boolean;
  readonly #allowsAllHeaders: boolean;

  constructor(settings: CorsSettings) {
    this.#settings = settings;
    this.#methods = settings.methods.includes(EVERYTHING) ? ALL_METHODS : settings.methods;
    this.#isOpen = settings.origins.includes(EVERYTHING);
    this.#allowsAllHeaders = settings.headers.includes(EVERYTHING);
  }

  /** Answers a browser that asks before it sends; null: the request is none of these. */
  preflight(method: string | undefined, asked: IncomingHttpHeaders): PreflightAnswer | null {
    const { origin } = asked;
    const wanted = asked['access-control-request-method'];
    if (method !== 'OPTIONS' || origin === undefined || wanted === undefined) return null;
    const names = asked['access-control-request-headers'];
    const failures = [
      ...(this.#allows(origin) ? [] : ['origin']),
      ...(this.#methods.includes(wanted) ? [] : ['method']),
      ...(this.#allowsHeaders(names) ? [] : ['headers']),
    ];
    const { credentials, headers } = this.#settings;
    const isExplicit = !this.#isOpen || credentials;
    const allowed = this.#allowsAllHeaders ? names : [...new Set([...SAFE_HEADERS, ...headers])].sort().join(', ');
    return {
      status: failures.length === 0 ? 200 : 400,
      body: failures.length === 0 ? 'OK' : `Disallowed CORS ${failures.join(', ')}`,
      headers: {
        ...(isExplicit ? { vary: 'Origin' } : {}),
        ...(isExplicit && !this.#allows(origin)
          ? {}
          : { 'access-control-allow-origin': isExplicit ? origin : EVERYTHING }),
        'access-control-allow-methods': this.#methods.join(', '),
        'access-control-max-age': MAX_AGE,
        ...(allowed === undefined ? {} : { 'access-control-allow-headers': allowed }),
        ...(credentials ? { 'access-control-allow-credentials': 'true' } : {}),
      },
    };
  }

  /** Headers that an answer to a page gets beside its own. */
  answerHeaders({ origin, cookie }: IncomingHttpHeaders): Readonly<Record<string, string>> {
    if (origin === undefined) return {};
    const isNamed = this.#isOpen ? cookie !== undefined : this.#allows(origin);
    return {
      ...(this.#isOpen ? { 'access-control-allow-origin': EVERYTHING } : {}),
      ...(this.#settings.credentials ? { 'access-control-allow-credentials': 'true' } : {}),
      ...(isNamed ? { 'access-control-allow-origin': origin, vary: 'Origin' } : {}),
    };
  }

  #allows(origin: string): boolean {
    return this.#isOpen || this.#settings.origins.includes(origin);
  }

  #allowsHeaders(names: string | undefined): boolean {
    if (names === undefined || this.#allowsAllHeaders) return true;
    const allowed = [...SAFE_HEADERS, ...this.#settings.headers].map((name) => name.toLowerCase());
    return names.split(',').every((name) => allowed.includes(name.trim().toLowerCase()));
  }
}
