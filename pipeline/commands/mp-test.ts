import { detectCi } from '../../ci/ci-environment.js';
import { createFleet, externalFleet } from '../../engines/live-fleet.js';
import { secrets } from '../../results-schema/secrets.js';
import type { Command } from '../cli.js';
import { configure } from '../config/configure.js';
import { collectDefinitions } from '../config/definitions.js';
import { addSettingFlags, loadSteps } from '../config/settings-flags.js';
import { externalServers, fleetOptions } from '../fleet-options.js';
import { keepHint, leaveUp } from '../keep-hint.js';
import { openNewResults } from '../new-results.js';
import { runSteps } from '../orchestrator.js';
import { planNewRun } from '../plan-new-run.js';
import { describePlan } from '../plan-text.js';
import { runSession } from '../session.js';
import { parseStepNames, selectSteps } from '../step-selection.js';

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
        describe: 'Only these steps and what they stand on (a,b or repeated)',
      })
      .option('skip', { type: 'string', array: true, requiresArg: true, describe: 'Leave these steps out' })
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
      .option('dry-run', { type: 'boolean', default: false, describe: 'Print the plan and start nothing' })
      .example('$0 mp-test', 'everything, with the defaults')
      .example('$0 mp-test --only long-doc-qa --num-documents 10', 'one test, smaller')
      .example('ENGINE=sim RUNTIME=docker $0 mp-test', 'the simulator in containers')
      .example('$0 mp-test --dry-run', 'commands, containers, settings with their origin');
    return addSettingFlags(parser, await loadSteps());
  },
  async run(parsed) {
    const only = parseStepNames('--only', asTexts(parsed['only']));
    const skip = parseStepNames('--skip', asTexts(parsed['skip']));
    const all = await loadSteps();
    const steps = selectSteps(all, only, skip);
    const ci = detectCi(process.env);
    const { settings, nearMisses } = configure(collectDefinitions(all), parsed, {
      ci: { BUILD_ID: ci.buildId ?? undefined },
    });
    const plan = await planNewRun(settings, ci);
    if (parsed['dryRun'] === true) {
      process.stdout.write(secrets.hide(`${await describePlan(plan, steps)}\n`));
      return 0;
    }
    const results = await openNewResults(plan);
    const keep = parsed['keep'] === true;
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
        const work = await runSteps(run, steps, signal, { keep, keepGoing: parsed['keepGoing'] === true });
        if (keep && !signal.aborted) {
          await leaveUp(run);
          for (const line of keepHint(run)) run.reporter.log(null, line);
        }
        return work;
      },
    });
  },
};
