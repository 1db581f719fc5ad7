import { z } from 'zod';
import { askServer } from '../engines/ask-server.js';
import type { EngineRole } from '../engines/launch-spec.js';
import { type RunRecord, simulatedSchema } from '../results-schema/run-record.js';
import type { Run } from './run.js';

/** Versions and image of what was tested, as far as the servers and the daemon tell. */
export interface RunIdentity {
  readonly docker: string | null;
  readonly vllm: string | null;
  readonly lmcache: string | null;
  readonly image: RunRecord['image'];
  /** As vLLM itself says it; null: a real one, or it was not asked. */
  readonly simulated: RunRecord['simulated'];
}

export const unknownIdentity: RunIdentity = { docker: null, vllm: null, lmcache: null, image: null, simulated: null };

const answerLimitMs = 1000;
/** vLLM answers an object, LMCache 0.5.3 a JSON string. */
const versionAnswer = z.union([z.string(), z.object({ version: z.string() }).transform(({ version }) => version)]);

/** Asks while the engines are up. Whoever does not answer within a second is unknown. */
export async function identifyRun(run: Run): Promise<RunIdentity> {
  const [vllm, lmcache, docker] = await Promise.all([
    versionOf(run, 'vllm'),
    versionOf(run, 'lmcache'),
    dockerIdentity(run),
  ]);
  return { vllm: vllm.version, simulated: vllm.simulated, lmcache: lmcache.version, ...docker };
}

async function versionOf(
  run: Run,
  role: EngineRole,
): Promise<{ readonly version: string | null; readonly simulated: RunRecord['simulated'] }> {
  const unknown = { version: null, simulated: null };
  const endpoint = run.fleet.find(role);
  if (!endpoint) return unknown;
  try {
    const answer = await askServer(`${endpoint.baseUrl}/version`, { signal: AbortSignal.timeout(answerLimitMs) });
    const simulated = simulatedSchema.safeParse({
      profile: answer.header('x-lmcache-ci-simulated'),
      speed: Number(answer.header('x-lmcache-ci-sim-speed')),
    });
    const version = versionAnswer.safeParse(JSON.parse(answer.body)).data ?? null;
    return { version, simulated: simulated.data ?? null };
  } catch {
    // A server without this endpoint, or one that is gone: its version stays unknown.
    return unknown;
  }
}

async function dockerIdentity(run: Run): Promise<Pick<RunIdentity, 'docker' | 'image'>> {
  const containerName = run.fleet.find('vllm')?.containerName;
  if (run.plan.facts.runtime !== 'docker' || !containerName) return { docker: null, image: null };
  const { openContainerHost } = await import('../docker/client.js');
  try {
    const host = openContainerHost();
    const [info, container] = await Promise.all([host.info(), host.inspectContainer(containerName)]);
    return { docker: info.serverVersion, image: container?.image ?? null };
  } catch {
    return { docker: null, image: null };
  }
}
