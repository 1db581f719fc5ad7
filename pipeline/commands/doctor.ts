import chalk from 'chalk';
import type { Command } from '../cli.js';
import { configure } from '../config/configure.js';
import { collectDefinitions } from '../config/definitions.js';
import { addSettingFlags, loadSteps } from '../config/settings-flags.js';
import { examine } from '../doctor.js';
import { completeSettings, settingValues } from '../run-plan.js';

const marks = { ok: chalk.green('ok'), missing: chalk.red('missing'), note: chalk.yellow('note') };

/** `lmcache-ci doctor`: what a real run needs, and the remedy for what is not there. */
export const doctorCommand: Command = {
  async build(parser) {
    parser
      .usage(
        '$0 doctor\n\nChecks what a run on real engines needs on this machine. Exit code 0 when all is there, else 3.',
      )
      .example('$0 doctor', 'daemon, BuildKit, GPUs, ports, disk, model, Python')
      .example('VLLM_PORT=8100 $0 doctor', 'with the settings that the run will have');
    return addSettingFlags(parser, await loadSteps());
  },
  async run(parsed) {
    const { settings } = configure(collectDefinitions(await loadSteps()), parsed, {});
    const findings = await examine(settingValues(await completeSettings(settings, new Date())));
    const width = Math.max(...findings.map(({ subject }) => subject.length));
    for (const { subject, status, detail, remedy } of findings) {
      process.stdout.write(`${marks[status].padEnd(8)} ${subject.padEnd(width)}  ${detail}\n`);
      if (remedy && status !== 'ok') process.stdout.write(`${' '.repeat(9 + width)}  remedy: ${remedy}\n`);
    }
    const missing = findings.filter(({ status }) => status === 'missing').length;
    const verdict =
      missing === 0
        ? 'A run on real engines can start here.'
        : `${missing} things are missing for a run on real engines. Without them \`lmcache-ci mp-test\` runs on the simulator.`;
    process.stdout.write(`\n${verdict}\n`);
    return missing === 0 ? 0 : 3;
  },
};
