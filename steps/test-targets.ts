import type { EngineRole } from '../engines/launch-spec.js';
import { detectSimulation, listModels } from '../workloads/server-api.js';
import type { Target } from '../workloads/target.js';
import type { StepContext } from './step.js';
import { StepFailure } from './step-failure.js';

export interface TestTarget extends Target {
  /** Prompt and answer together may have this many tokens; null where the server does not say. */
  readonly maxModelLen: number | null;
}

type TargetContext = Pick<StepContext<unknown>, 'fleet' | 'run' | 'settings' | 'signal'>;

/**
 * Where to send requests, after a look at what is served there.
 * @throws StepFailure when it does not serve MODEL, or is a simulator in a run that claims a real engine;
 *   ServerUnreachableError, ServerAnswerError
 */
export async function findTarget(context: TargetContext, role: Exclude<EngineRole, 'lmcache'>): Promise<TestTarget> {
  const { baseUrl } = context.fleet.require(role);
  const model = context.settings.MODEL;
  const served = await listModels({ baseUrl, model }, context.signal);
  const found = served.find((candidate) => candidate.id === model);
  if (found === undefined) {
    throw new StepFailure(
      `The server at "${baseUrl}" does not serve "${model}"; it serves ${served.map(({ id }) => `"${id}"`).join(', ') || 'nothing'}. Set MODEL.`,
      { reason: 'configuration', failureCause: 'bad-value' },
    );
  }
  if (context.run.engine === 'vllm' && (await detectSimulation({ baseUrl, model }, context.signal)) !== null) {
    throw new StepFailure(
      `The server at "${baseUrl}" says that it is simulated, the run that it is real: set ENGINE=sim.`,
      {
        reason: 'configuration',
        failureCause: 'bad-value',
      },
    );
  }
  return { baseUrl, model, maxModelLen: found.maxModelLen };
}

/** @throws StepFailure when prompts and answers of this length do not fit the model */
export function requireRoom(target: TestTarget, tokens: number, what: string): void {
  if (target.maxModelLen !== null && tokens > target.maxModelLen) {
    throw new StepFailure(
      `${what} need ${tokens} tokens, but "${target.model}" is served with at most ${target.maxModelLen}.`,
      { reason: 'configuration', failureCause: 'bad-value' },
    );
  }
}
