import { setMaxListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setAside } from '../results-schema/kept-tries.js';
import type { StepRecord } from '../results-schema/run-record.js';
import type { Step } from '../steps/step.js';
import { type Run, stepContext } from './run.js';
import { identifyRun, unknownIdentity } from './run-identity.js';
import { settingValues } from './run-plan.js';
import { runStep, stopGraceMs } from './run-step.js';
import type { SessionWork } from './session.js';
import { settlesWithin } from './settles-within.js';

export interface PipelineOptions {
  /** Run the remaining tests after one has failed. */
  readonly keepGoing: boolean;
  /** Leave the engines up; the caller detaches the run. */
  readonly keep: boolean;
}

/**
 * Runs the steps in their order. A failing set-up step ends the tests, a failing test does unless `keepGoing`;
 * cleanup runs whatever happened, and nothing aborts it.
 */
export async function runSteps(
  run: Run,
  steps: readonly Step[],
  signal: AbortSignal,
  options: PipelineOptions,
): Promise<SessionWork> {
  let identity = unknownIdentity;
  const records: StepRecord[] = [];
  const preparations = new Preparations(run, signal);
  const tests = steps.filter((step) => step.kind === 'test');
  try {
    for (const step of steps.filter(({ kind }) => kind !== 'cleanup')) {
      // Nothing else may run beside a measurement.
      if (step.kind === 'test') await preparations.settled();
      const running = runWithRetries(run, step, signal);
      // Virtual environments and prompts are made ready while the engines start.
      if (step.name === 'launch-containers') preparations.start(tests);
      const record = await running;
      records.push(record);
      if (signal.aborted) break;
      if (step.name === 'wait-for-vllm' && record.result.outcome === 'passed') identity = await identifyRun(run);
      if (blocksTheRest(record) && !(options.keepGoing && step.kind === 'test')) break;
    }
  } finally {
    await preparations.abandon();
    if (!options.keep || signal.aborted) {
      for (const step of steps.filter(({ kind }) => kind === 'cleanup')) {
        records.push(await runStep(run, step, new AbortController().signal));
      }
    }
  }
  return { steps: records, identity };
}

/** An infrastructure failure is tried again as often as RETRY_INFRASTRUCTURE says, where that can help; nothing else ever is. */
async function runWithRetries(run: Run, step: Step, signal: AbortSignal): Promise<StepRecord> {
  const given = settingValues(run.plan.settings)['RETRY_INFRASTRUCTURE'];
  const retries = typeof given === 'number' ? given : run.plan.ci.isCi ? 1 : 0;
  const tries: NonNullable<StepRecord['tries']> = [];
  for (;;) {
    const record = await runStep(run, step, signal);
    const { startedAt, durationSeconds, result } = record;
    const isOver = tries.length >= retries || signal.aborted || !(await canBeRetried(run, step, result));
    if (isOver) return tries.length === 0 ? record : { ...record, tries };
    const keptIn = await setAside(run.results.root, step.name, Date.parse(startedAt));
    tries.push({ startedAt, durationSeconds, result, keptIn });
    const message = `"${step.name}" failed by infrastructure: try ${tries.length + 1} of ${retries + 1} (RETRY_INFRASTRUCTURE)`;
    run.events.append({ type: 'warning', step: step.name, message });
    run.reporter.warn(step.name, message);
  }
}

/** With a dead engine, or engines that were half launched, the same step can only fail again, and hide why. */
async function canBeRetried(run: Run, step: Step, result: StepRecord['result']): Promise<boolean> {
  if (result.outcome !== 'failed' || result.reason !== 'infrastructure') return false;
  if ((await run.fleet.unexpectedExit()) !== null) return false;
  const roles = ['lmcache', 'vllm', 'baseline'] as const;
  return step.name !== 'launch-containers' || roles.every((role) => run.fleet.state(role).status === 'unstarted');
}

function blocksTheRest({ result, kind }: StepRecord): boolean {
  return result.outcome === 'failed' || (result.outcome === 'inconclusive' && kind === 'setup');
}

/** What tests make ready in the background. A failure only costs the head start: the test meets it again and reports it. */
class Preparations {
  readonly #run: Run;
  readonly #abandoned = new AbortController();
  readonly #signal: AbortSignal;
  #pending: Promise<void>[] = [];

  constructor(run: Run, signal: AbortSignal) {
    this.#run = run;
    this.#signal = AbortSignal.any([signal, this.#abandoned.signal]);
    setMaxListeners(0, this.#signal);
  }

  start(steps: readonly Step[]): void {
    this.#pending = steps.map(async (step) => {
      try {
        // The engines' launch goes first.
        await nextTurn();
        this.#signal.throwIfAborted();
        await step.prepare?.(stepContext(this.#run, step, this.#signal));
      } catch (error) {
        if (!this.#signal.aborted) this.#run.reporter.warn(step.name, `could not prepare ahead: ${String(error)}`);
      }
    });
  }

  /** Until all are done. One that hangs gets as long as a test does, which then meets the same. */
  async settled(): Promise<void> {
    const limitSeconds = Number(settingValues(this.#run.plan.settings)['TEST_TIMEOUT_SECONDS']);
    const aborted = new Promise<void>((resolve) => {
      if (this.#signal.aborted) resolve();
      this.#signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const limitMs = Math.min(limitSeconds * 1000, 2 ** 31 - 1);
    if (await settlesWithin(Promise.race([Promise.all(this.#pending), aborted]), limitMs)) return;
    this.#run.reporter.warn(null, `Preparing the tests was not done after TEST_TIMEOUT_SECONDS=${limitSeconds}.`);
  }

  /** Ends what nobody will use any more; what does not listen is left behind, as a step is. */
  async abandon(): Promise<void> {
    this.#abandoned.abort(new Error('The tests are over.'));
    await settlesWithin(Promise.all(this.#pending), stopGraceMs);
  }
}
