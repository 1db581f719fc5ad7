import { ask, ServerAnswerError } from './server-answer.js';
import type { SimulatedBy, Target } from './target.js';

/**
 * Whether this server is the project's simulator: it says so, and how fast it runs, in the headers of every answer.
 * @returns null for a real server
 * @throws ServerUnreachableError
 */
export async function detectSimulation(target: Target, signal: AbortSignal): Promise<SimulatedBy | null> {
  const answer = await ask(target, 'GET', '/version', { signal });
  const profile = answer.headers['x-lmcache-ci-simulated'];
  if (typeof profile !== 'string') {
    return null;
  }
  const told = answer.headers['x-lmcache-ci-sim-speed'];
  const speed = Number(told || Number.NaN);
  if (!(speed > 0 && speed < Number.POSITIVE_INFINITY)) {
    throw new ServerAnswerError(
      `The simulator at ${target.baseUrl} does not say its speed: "x-lmcache-ci-sim-speed" is "${String(told)}".`,
      answer.status,
    );
  }
  return { profile, speed };
}
