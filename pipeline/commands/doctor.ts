import { painter, wantsColor } from '../../report/colors.js';
import type { Command } from '../cli.js';
import { configure, warnOfNearMisses } from '../config/configure.js';
import { collectDefinitions } from '../config/definitions.js';
import { addSettingFlags, loadSteps } from '../config/settings-flags.js';
import { examine } from '../doctor.js';
import { describeExitCodes } from '../exit-codes.js';
import { completeSettings, settingValues } from '../run-plan.js';

/** `lmcache-ci doctor`: what a real run needs, and the remedy for what is not there. */
export const doctorCommand: Command = {
  async build(parser) {
    parser
      .usage(
        '$0 doctor [options]\n\nChecks what a run on real engines needs on this machine, with the remedy for what is missing.',
      )
      .example('$0 doctor', 'daemon, BuildKit, GPUs, ports, disk, model, Python')
      .example('$0 doctor --runtime process', 'without Docker: vllm and lmcache on PATH')
      .example('VLLM_PORT=8100 $0 doctor', 'with the settings that the run will have')
      .epilogue(describeExitCodes({ 0: 'all is there', 3: 'something is missing' }));
    return addSettingFlags(parser, await loadSteps());
  },
  async check(parsed) {
    warnOfNearMisses(configure(collectDefinitions(await loadSteps()), parsed, {}));
  },
  async run(parsed) {
    const configuration = configure(collectDefinitions(await loadSteps()), parsed, {});
    warnOfNearMisses(configuration);
    const findings = await examine(settingValues(await completeSettings(configuration.settings, new Date())));
    const paint = painter(wantsColor(process.env, process.stdout));
    const marks = { ok: paint.green('ok'), missing: paint.red('missing'), note: paint.yellow('note') };
    const width = Math.max(...findings.map(({ subject }) => subject.length));
    for (const { subject, status, detail, remedy } of findings) {
      process.stdout.write(`${marks[status]}${' '.repeat(9 - status.length)}${subject.padEnd(width)}  ${detail}\n`);
      if (remedy && status !== 'ok') process.stdout.write(`${' '.repeat(9 + width)}  remedy: ${remedy}\n`);
    }
    const missing = findings.filter(({ status }) => status === 'missing').length;
    const verdict =
      missing === 0
        ? 'A run on real engines can start here.'
        : `${missing === 1 ? '1 thing is' : `${missing} things are`} missing for a run on real engines. Without them \`lmcache-ci mp-test\` runs on the simulator.`;
    process.stdout.write(`\n${verdict}\n`);
    return missing === 0 ? 0 : 3;
  },
};
