import type { Handler } from './routing.js';

type Route = readonly [path: string, methods: Readonly<Record<string, Handler>>];

/** Paths whose requests keep the GPU busy, as vLLM 0.26 marks them. */
const WORKING = new Set([
  '/v1/chat/completions',
  '/v1/chat/completions/batch',
  '/v1/completions',
  '/v1/responses',
  '/v1/responses/{response_id}',
  '/v1/responses/{response_id}/cancel',
  '/v1/messages',
  '/v1/messages/count_tokens',
  '/generative_scoring',
  '/inference/v1/generate',
]);

/** What /load tells: requests under way, from their coming in to the end of their answers. Always 0 unless it is tracked. */
export class ServerLoad {
  readonly #isTracked: boolean;
  #present = 0;

  constructor(isTracked: boolean) {
    this.#isTracked = isTracked;
  }

  get present(): number {
    return this.#present;
  }

  /** The same routes, those that work counted. */
  counting(routes: readonly Route[]): readonly Route[] {
    if (!this.#isTracked) return routes;
    return routes.map(([path, methods]): Route => {
      if (!WORKING.has(path)) return [path, methods];
      return [
        path,
        Object.fromEntries(Object.entries(methods).map(([method, handler]) => [method, this.#counted(handler)])),
      ];
    });
  }

  #counted(handler: Handler): Handler {
    return (request, reply) => {
      this.#present += 1;
      reply.response.on('close', () => {
        this.#present -= 1;
      });
      return handler(request, reply);
    };
  }
}
