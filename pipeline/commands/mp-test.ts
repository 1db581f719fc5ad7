import { type CiEnvironment, detectCi } from '../../ci/ci-environment.js';
import { createFleet, externalFleet } from '../../engines/live-fleet.js';
import { secrets } from '../../results-schema/secrets.js';
import { commonSettings } from '../../steps/common-settings.js';
import type { Step } from '../../steps/step.js';
import type { Command } from '../cli.js';
import { type Configuration, configure, tellingNearMisses, warnOfNearMisses } from '../config/configure.js';
import { collectDefinitions } from '../config/definitions.js';
import { addSettingFlags, loadSteps } from '../config/settings-flags.js';
import { describeExitCodes } from '../exit-codes.js';
import { externalServers, fleetOptions } from '../fleet-options.js';
import { keepHint, leaveUp } from '../keep-hint.js';
import { openNewResults } from '../new-results.js';
import { runSteps } from '../orchestrator.js';
import { planNewRun } from '../plan-new-run.js';
import { describePlan } from '../plan-text.js';
import { runSession } from '../session.js';
import { parseStepNames, selectSteps } from '../step-selection.js';
import { UsageError } from '../usage-error.js';
import { FlagProblems } from './flag-problems.js';

const asTexts = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** `lmcache-ci mp-test`: the whole pipeline. */
export const mpTestCommand: Command = {
  async build(parser) {
    parser
      .usage(
        '$0 mp-test [options]\n\nBuilds the image, launches an LMCache server and vLLM with and without it, tests, judges, cleans up.',
      )
      .option('only', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Only these steps and what they stand on (a,b or repeated): lm-eval, vllm-bench, long-doc-qa, ...',
      })
      .option('skip', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Leave these steps out (a,b or repeated)',
      })
      .option('keep-going', {
        type: 'boolean',
        default: false,
        describe: 'Run the remaining tests after a failure; the run still fails',
      })
      .option('keep', {
        type: 'boolean',
        default: false,
        describe: 'Leave the engines up and print how to reach and remove them',
      })
      .option('resume', {
        type: 'string',
        requiresArg: true,
        conflicts: ['only', 'skip'],
        describe: 'Go on with the run of this BUILD_ID after its last complete test',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Print the plan and start nothing' })
      .example('$0 mp-test', 'everything, with the defaults')
      .example('$0 mp-test --only long-doc-qa --num-documents 10', 'one test, smaller')
      .example('ENGINE=sim RUNTIME=docker $0 mp-test', 'the simulator in containers')
      .example('$0 mp-test --resume nightly-7', 'goes on where a run was cut off, with its settings')
      .example('$0 mp-test --dry-run', 'commands, containers, settings with their origin')
      .epilogue(
        describeExitCodes({
          0: 'passed',
          1: 'the code under test failed: regression, incorrect output, cache not exercised',
          2: 'configuration, nothing was started',
          3: 'no verdict: infrastructure, or inconclusive',
          interrupted: 'nothing is left behind',
        }),
      );
    return addSettingFlags(parser, await loadSteps());
  },
  async check(parsed) {
    warnOfNearMisses(await readRequest(parsed, await loadSteps(), detectCi(process.env)));
  },
  async run(parsed) {
    const all = await loadSteps();
    const ci = detectCi(process.env);
    const keep = parsed['keep'] === true;
    const keepGoing = parsed['keepGoing'] === true;
    if (parsed['resume'] !== undefined) return resume(String(parsed['resume']), parsed, { all, ci, keep, keepGoing });
    const { steps, settings, nearMisses } = await readRequest(parsed, all, ci);
    const plan = await tellingNearMisses({ nearMisses }, () => planNewRun(settings, ci));
    if (parsed['dryRun'] === true) {
      warnOfNearMisses({ nearMisses });
      process.stdout.write(secrets.hide(`${await describePlan(plan, steps)}\n`));
      return 0;
    }
    const results = await tellingNearMisses({ nearMisses }, () => openNewResults(plan));
    return runSession({
      plan,
      command: ['mp-test', ...process.argv.slice(3)],
      results,
      nearMisses,
      steps: steps.map(({ name }) => name),
      openFleet: async (onEvent) =>
        plan.facts.runtime === 'external'
          ? externalFleet(externalServers(plan))
          : createFleet(await fleetOptions(plan, onEvent)),
      work: async (run, signal) => {
        const work = await runSteps(run, steps, signal, { keep, keepGoing });
        if (keep && !signal.aborted) {
          await leaveUp(run);
          for (const line of keepHint(run)) run.reporter.log(null, line);
        }
        return work;
      },
    });
  },
};

/** @throws UsageError with all bad names and values at once */
async function readRequest(
  parsed: Readonly<Record<string, unknown>>,
  all: readonly Step[],
  ci: CiEnvironment,
): Promise<Configuration & { readonly steps: readonly Step[] }> {
  const problems = new FlagProblems();
  const only = problems.read(() => parseStepNames('--only', asTexts(parsed['only'])), null);
  const skip = problems.read(() => parseStepNames('--skip', asTexts(parsed['skip'])), null);
  const steps = problems.read(() => (only === null || skip === null ? [] : selectSteps(all, only, skip)), []);
  const configuration = problems.read(
    () => configure(collectDefinitions(all), parsed, { ci: { BUILD_ID: ci.buildId ?? undefined } }),
    { settings: [], nearMisses: [] },
  );
  await tellingNearMisses(configuration, async () => problems.throwIfAny());
  return { ...configuration, steps };
}

async function resume(
  buildId: string,
  parsed: Readonly<Record<string, unknown>>,
  {
    all,
    ci,
    ...options
  }: {
    readonly all: readonly Step[];
    readonly ci: CiEnvironment;
    readonly keep: boolean;
    readonly keepGoing: boolean;
  },
): Promise<number> {
  if (parsed['dryRun'] === true)
    throw new UsageError('--resume and --dry-run do not go together: `lmcache-ci status` says what is left to do.');
  const { resumeRun } = await import('../resume-run.js');
  const definitions = collectDefinitions(all);
  // Where its results are is all that is asked of this environment.
  const { settings } = configure({ RESULTS_DIR: commonSettings.RESULTS_DIR }, parsed, {});
  const [given] = settings;
  const resultsDir = typeof given?.value === 'string' ? given.value : null;
  return resumeRun({ buildId, resultsDir, parsed, steps: all, definitions, ...options }, ci);
}
