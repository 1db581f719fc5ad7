import { detectCi } from '../../ci/ci-environment.js';
import { SeveralLiveRunsError } from '../../engines/errors.js';
import { createFleet, externalFleet, joinFleet } from '../../engines/live-fleet.js';
import type { LiveRun } from '../../engines/live-run.js';
import { joinLiveRun } from '../../engines/registry.js';
import { openResultsDirectory } from '../../results-schema/results-directory-fs.js';
import { launchSettings } from '../../steps/launch-settings.js';
import { stepList } from '../../steps/list.js';
import type { Step } from '../../steps/step.js';
import type { Command } from '../cli.js';
import { configure, tellingNearMisses, warnOfNearMisses } from '../config/configure.js';
import { collectDefinitions } from '../config/definitions.js';
import type { ResolvedSetting, SettingProblem } from '../config/resolve-settings.js';
import { addSettingFlags, loadSteps } from '../config/settings-flags.js';
import { describeExitCodes } from '../exit-codes.js';
import { externalServers, fleetOptions } from '../fleet-options.js';
import { keepHint, leaveUp } from '../keep-hint.js';
import { openNewResults } from '../new-results.js';
import { planNewRun } from '../plan-new-run.js';
import type { Run } from '../run.js';
import { identifyRun, unknownIdentity } from '../run-identity.js';
import { type RunPlan, settingValues, workspace } from '../run-plan.js';
import { runStep } from '../run-step.js';
import { runSession, type SessionWork } from '../session.js';
import { parseStepNames, startsRun } from '../step-selection.js';
import { UsageError } from '../usage-error.js';

const settledByLaunch: ReadonlySet<string> = new Set([
  ...['BUILD_ID', 'RESULTS_DIR', 'ENGINE', 'RUNTIME', 'SIM_PROFILE', 'SIM_SPEED', 'SIM_FAULT'],
  ...Object.keys(launchSettings),
]);

/** `lmcache-ci step NAME`, which is also what `npx zx steps/*.mjs` runs. */
export const stepCommand: Command = {
  async build(parser, args) {
    // Help shows the settings of the step that is meant; without one, everybody's.
    const named = stepList.filter(({ name, script }) => args[1] === name || args[1] === script).map(({ name }) => name);
    parser
      .usage(
        '$0 step <name> [options]\n\nRuns one step alone. It joins the live run of this machine; build-image and launch-containers begin one.',
      )
      .positional('name', {
        type: 'string',
        demandOption: true,
        describe: "The step, by its name or its script's",
        choices: [...new Set(stepList.flatMap(({ name, script }) => [name, script]))],
      })
      .example('$0 step launch-containers', 'starts the engines and leaves them up')
      .example('$0 step long-doc-qa', 'joins them, whoever launched them')
      .example('BUILD_ID=nightly-7 $0 step cleanup', 'says which run, where there are several')
      .epilogue(
        describeExitCodes({
          0: 'passed',
          1: 'the code under test failed: regression, incorrect output, cache not exercised',
          2: 'configuration, no run to join',
          3: 'no verdict: infrastructure, or inconclusive',
          interrupted: 'engines that were joined stay up',
        }),
      );
    return addSettingFlags(parser, await loadSteps(named.length > 0 ? named : undefined));
  },
  async check(parsed) {
    warnOfNearMisses(configure(collectDefinitions(await loadSteps()), parsed, {}));
  },
  async run(parsed) {
    const [name = ''] = parseStepNames('step', [String(parsed['name'])]);
    const [step] = await loadSteps([name]);
    if (!step) throw new UsageError(`There is no step "${name}".`);
    // A step's engines need the launch settings too; they are read from the same places.
    const definitions = collectDefinitions(await loadSteps());
    const ci = detectCi(process.env);
    const given = configure(definitions, parsed, {});
    const values = settingValues(given.settings);
    if (startsRun.has(name) || values['RUNTIME'] === 'external') {
      const { settings, nearMisses } = configure(definitions, parsed, { ci: { BUILD_ID: ci.buildId ?? undefined } });
      return runOwn(step, await tellingNearMisses({ nearMisses }, () => planNewRun(settings, ci)), nearMisses);
    }
    const buildId = typeof values['BUILD_ID'] === 'string' ? values['BUILD_ID'] : ci.buildId;
    const live = await tellingNearMisses(given, async () => findLiveRun(buildId));
    if (!live) return tellingNearMisses(given, async () => withoutRun(step, values['BUILD_ID']));
    const texts = Object.fromEntries(
      Object.entries(live.settings).map(([key, value]) => [key, value === null ? undefined : String(value)]),
    );
    const joined = configure(definitions, parsed, { 'joined run': texts });
    const plan = { ...(await joinedPlan(live)), settings: asLaunched(joined.settings, live), ci };
    return runJoined(step, live, plan, [...joined.nearMisses, ...withoutEffect(joined.settings, live)]);
  },
};

function findLiveRun(buildId: string | null): LiveRun | null {
  try {
    return joinLiveRun({ buildId });
  } catch (error) {
    if (error instanceof SeveralLiveRunsError) throw new UsageError(error.message);
    throw error;
  }
}

function withoutRun(step: Step, buildId: unknown): number {
  const which = typeof buildId === 'string' ? `with BUILD_ID "${buildId}" ` : '';
  if (step.kind === 'cleanup') {
    process.stdout.write(
      `No live run ${which}on this machine: nothing to clean up. (lmcache-ci clean looks for leftovers.)\n`,
    );
    return 0;
  }
  throw new UsageError(
    `No live run ${which}on this machine to join. Launch one first: npx zx steps/launch-containers.mjs`,
  );
}

async function runOwn(
  step: Step,
  plan: RunPlan,
  nearMisses: Parameters<typeof runSession>[0]['nearMisses'],
): Promise<number> {
  const launches = step.name === 'launch-containers' && plan.facts.runtime !== 'external';
  const results = await tellingNearMisses({ nearMisses }, () => openNewResults(plan, { goesOnAfterBuild: launches }));
  return runSession({
    plan,
    command: ['step', step.name],
    results,
    nearMisses,
    steps: [step.name],
    openFleet: async (onEvent) => {
      if (launches) return createFleet(await fleetOptions(plan, onEvent));
      return externalFleet(
        plan.facts.runtime === 'external'
          ? externalServers(plan)
          : { vllmUrl: null, baselineUrl: null, lmcacheUrl: null },
      );
    },
    work: async (run, signal) => {
      const work = await runAlone(run, step, signal);
      if (!launches) return work;
      if (!signal.aborted && work.steps.every(({ result }) => result.outcome === 'passed')) {
        await leaveUp(run);
        for (const line of keepHint(run)) run.reporter.log(null, line);
        return work;
      }
      const [cleanup] = await loadSteps(['cleanup']);
      return cleanup
        ? { ...work, steps: [...work.steps, await runStep(run, cleanup, new AbortController().signal)] }
        : work;
    },
  });
}

async function runJoined(
  step: Step,
  live: LiveRun,
  plan: RunPlan,
  nearMisses: Parameters<typeof runSession>[0]['nearMisses'],
): Promise<number> {
  process.stdout.write(`Joining run ${live.buildId} (${live.engine} on ${live.runtime}, since ${live.createdAt}).\n`);
  return runSession({
    plan,
    command: ['step', step.name],
    results: await openResultsDirectory(live.resultsDir),
    nearMisses,
    steps: [step.name],
    openFleet: (onEvent) => joinFleet(live, { onEvent }),
    work: (run, signal) => runAlone(run, step, step.kind === 'cleanup' ? new AbortController().signal : signal),
  });
}

async function runAlone(run: Run, step: Step, signal: AbortSignal): Promise<SessionWork> {
  const record = await runStep(run, step, signal);
  const up = step.name === 'wait-for-vllm' && record.result.outcome === 'passed';
  return { steps: [record], identity: up ? await identifyRun(run) : unknownIdentity };
}

/** What the engines were launched with is no longer a choice: not of `auto` ports, not of another SIM_SPEED. */
function asLaunched(settings: readonly ResolvedSetting[], live: LiveRun): readonly ResolvedSetting[] {
  return settings.map((setting) => {
    if (!isSettledByLaunch(setting)) return setting;
    const { name, definition } = setting;
    return { name, definition, value: live.settings[name] ?? null, origin: 'joined run', source: null };
  });
}

function isSettledByLaunch({ name, definition }: ResolvedSetting): boolean {
  return definition.type === 'port' || settledByLaunch.has(name);
}

/** Settings of the launch that are given now, other than they were then. */
function withoutEffect(settings: readonly ResolvedSetting[], live: LiveRun): readonly SettingProblem[] {
  const launched: LiveRun['settings'] = { ...live.settings, ENGINE: live.engine, RUNTIME: live.runtime };
  return settings.flatMap((setting) => {
    const { name, value, origin, source } = setting;
    const isGiven = origin === 'flag' || origin === 'environment' || origin === '.env';
    const then = launched[name] ?? null;
    if (!isGiven || !isSettledByLaunch(setting) || value === 'auto' || value === then) return [];
    const message = `${source}=${JSON.stringify(String(value))} has no effect: the run that was joined has ${then === null ? 'none' : JSON.stringify(String(then))}`;
    return [{ name, message }];
  });
}

async function joinedPlan(live: LiveRun): Promise<Omit<RunPlan, 'settings' | 'ci'>> {
  return {
    facts: { buildId: live.buildId, engine: live.engine, runtime: live.runtime, workspace },
    resultsDir: live.resultsDir,
    simulatedBecause: live.engine === 'sim' ? 'the run that was joined is simulated' : null,
    startedAt: new Date(live.createdAt),
  };
}
