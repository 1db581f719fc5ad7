import { rm } from 'node:fs/promises';
import type { CiEnvironment } from '../ci/ci-environment.js';
import { createFleet, externalFleet, joinFleet } from '../engines/live-fleet.js';
import type { EngineEvent, RunFleet } from '../engines/run-fleet.js';
import { setAside } from '../results-schema/kept-tries.js';
import { externalServers, fleetOptions } from './fleet-options.js';
import { keepHint, leaveUp } from './keep-hint.js';
import { runSteps } from './orchestrator.js';
import { planNewRun } from './plan-new-run.js';
import { inOrder, planResumption, type ResumeRequest, type Resumption } from './resume.js';
import type { Run } from './run.js';
import { unknownIdentity } from './run-identity.js';
import type { RunPlan } from './run-plan.js';
import { runSession } from './session.js';

/**
 * `mp-test --resume BUILD_ID`: goes on after the last test that said something of the code under test. Engines are
 * launched anew, unless they were left up.
 * @returns the exit code of the whole run
 * @throws UsageError when there is nothing to go on with
 */
export async function resumeRun(
  request: ResumeRequest & { readonly keep: boolean },
  ci: CiEnvironment,
): Promise<number> {
  const resumption = await planResumption(request);
  const { results, record, planned, todo, done, live } = resumption;
  const plan: RunPlan = {
    ...(await planNewRun(resumption.settings, ci)),
    resultsDir: results.root,
    startedAt: new Date(record.startedAt),
  };
  return runSession({
    plan,
    // How the run was called: the one that is gone on with.
    command: record.command,
    results,
    nearMisses: [],
    steps: planned.map(({ name }) => name),
    openFleet: (onEvent) => openFleet(plan, resumption, onEvent),
    work: async (run, signal) => {
      await announce(run, resumption);
      if (todo.length === 0) return { steps: done, identity: unknownIdentity };
      const work = await runSteps(run, todo, signal, request);
      if (request.keep && !signal.aborted) {
        if (live === null) await leaveUp(run);
        for (const line of keepHint(run)) run.reporter.log(null, line);
      }
      return { ...work, steps: inOrder(planned, [...done, ...work.steps]) };
    },
  });
}

async function openFleet(
  plan: RunPlan,
  { live, todo }: Resumption,
  onEvent: (event: EngineEvent) => void,
): Promise<RunFleet> {
  if (plan.facts.runtime === 'external') return externalFleet(externalServers(plan));
  if (live !== null) return joinFleet(live, { onEvent });
  if (todo.length === 0) return externalFleet({ vllmUrl: null, baselineUrl: null, lmcacheUrl: null });
  return createFleet(await fleetOptions(plan, onEvent));
}

/** Says what is kept; what was cut off must not mix with what comes now. */
async function announce(run: Run, { results, done, begun }: Resumption): Promise<void> {
  const tell = (message: string) => {
    run.events.append({ type: 'log', step: null, message });
    run.reporter.log(null, message);
  };
  const kept = done.map(({ name, result }) => `${name} (${result.outcome})`).join(', ');
  tell(`Resumed: ${kept === '' ? 'no test was done' : `done already: ${kept}`}.`);
  for (const { name, startedAt } of begun) {
    const folder = await setAside(results.root, name, Date.parse(startedAt));
    if (folder !== null) tell(`What the last try of ${name} wrote is in ${folder}.`);
  }
  // Its run goes on; the event before this one tells when it had been lost.
  await rm(results.path('orchestrator-lost.json'), { force: true });
}
